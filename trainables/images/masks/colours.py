"""Masks whose classes are colours: their table, and palettes that differ between files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

MOST_PROPOSED = 32
"""Colours of a mask beyond which they are no classes, but shades where classes meet."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class ColourTable:
    """The colour of each label, from 0."""

    colours: tuple[Colour, ...]

    def labels(self, rgb: np.ndarray) -> tuple[np.ndarray, dict[Colour, int]]:
        """Labels uint8 [H, W] of uint8 [H, W, 3], and how many pixels have each colour that is none."""
        table = _packed(np.array(self.colours, np.uint8))
        order = np.argsort(table)
        packed = _packed(rgb)
        place = np.minimum(np.searchsorted(table[order], packed), len(table) - 1)
        labels = order[place].astype(np.uint8)
        unknown, counts = np.unique(packed[table[labels] != packed], return_counts=True)
        return labels, {_colour(of): int(count) for of, count in zip(unknown, counts, strict=True)}


def colours_of(image: Image.Image) -> dict[Colour, int]:
    """How many pixels of an image have each colour."""
    packed, counts = np.unique(_packed(np.asarray(image.convert("RGB"))), return_counts=True)
    return {_colour(of): int(count) for of, count in zip(packed, counts, strict=True)}


def proposed(colours: Sequence[Colour]) -> str:
    """The line for the configuration, or what is wrong where there are too many colours."""
    if len(colours) > MOST_PROPOSED:
        return (
            f"{len(colours):,} colours are no classes: were the masks resized with interpolation, or JPEG "
            "once, or are the colours numbers of objects? Save them anew with the class of each pixel"
        )
    if len(colours) == 1:
        return "they have one colour, so the classes are in their transparency: save that as a grey PNG"
    table = ", ".join(f"[{red}, {green}, {blue}]" for red, green, blue in colours)
    return f"set data.colors to the colours of the classes in turn, such as data.colors: [{table}]"


def held_colours(image: Image.Image) -> dict[int, Colour]:
    """The colours of the labels that an open image with a palette holds."""
    table = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    held = [label for label, count in enumerate(image.histogram()) if count and label < len(table)]
    return {label: _colour(_packed(table[label])) for label in held}


def palette_conflict(palettes: Mapping[str, Mapping[int, Colour]]) -> str:
    """What is wrong if a label has two colours in these files; else empty."""
    first: dict[int, tuple[str, Colour]] = {}
    for file, palette in palettes.items():
        for label, colour in palette.items():
            other, known = first.setdefault(label, (file, colour))
            if known != colour:
                table = proposed(_by_label(palettes))
                return (
                    f"{file}: label {label} has the colour {list(colour)}, and in {other} {list(known)}: the "
                    f"palettes of the masks differ, so that labels mean other classes; {table}; or "
                    "data.palettes: ignore if only the colours differ"
                )
    return ""


def _by_label(palettes: Mapping[str, Mapping[int, Colour]]) -> list[Colour]:
    """The colours of all palettes, in the order of the label that each has most often."""
    labels: dict[Colour, Counter[int]] = {}
    for palette in palettes.values():
        for label, colour in palette.items():
            labels.setdefault(colour, Counter())[label] += 1
    return sorted(labels, key=lambda colour: (labels[colour].most_common(1)[0][0], -labels[colour].total()))


def _packed(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(rgb.astype(np.int64), -1, 0)
    return red << 16 | green << 8 | blue


def _colour(packed: np.ndarray) -> Colour:
    return int(packed >> 16), int(packed >> 8 & 255), int(packed & 255)
