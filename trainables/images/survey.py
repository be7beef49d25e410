"""Looks at some samples before training: which values images use, and whether masks hold classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from trainables.data.threads import in_threads, num_threads
from trainables.findings import Kind
from trainables.images import kinds
from trainables.images.augment import IGNORE
from trainables.images.colours import palette_conflict, proposed
from trainables.images.decode import File, Header, read_header
from trainables.images.depth import ValueRange
from trainables.images.edges import Edges, edges_of, told
from trainables.images.labels import MOST_CLASSES, are_objects, objects_text
from trainables.images.masks import COLOURED, palette_colours, read_mask, read_palette, used_colours
from trainables.images.options import ImageOptions, MaskOptions
from trainables.images.readers import Reader
from trainables.images.targets import MaskDecoder

NUM_HEADERS = 512
"""Samples of each part whose headers are looked at."""
NUM_DECODED = 64
"""Deep training images whose values are looked at."""


Headers = Mapping[str, Mapping[int, Sequence[Header]]]
"""Of some samples of each part, by number; of one that cannot be read none."""


def look_at_headers(parts: Mapping[str, Reader]) -> Headers:
    return {
        part: {number: _headers(reader, number) for number in _spread(len(reader), NUM_HEADERS)}
        for part, reader in parts.items()
    }


def turned_images(headers: Headers, options: ImageOptions) -> str:
    """What is to be said where images are turned and their masks are not; else empty."""
    looked = [header for of_part in headers.values() for header in of_part.values() if header]
    turned = sum(any(each.orientation != 1 for each in header) for header in looked)
    if not turned or options.orientation != "exif" or not isinstance(options, MaskOptions):
        return ""
    return (
        f"{turned} of {len(looked)} images are turned as their EXIF says, and masks never are: if they fit "
        "the images as stored, set data.orientation: stored"
    )


def find_range(
    parts: Mapping[str, Reader], headers: Headers, options: ImageOptions
) -> tuple[ValueRange | None, str]:
    """The range of values that becomes 0 to 255, and what is to be said of it.

    None where all images that are looked at have 8 bits. What cannot be read is left for later.
    """
    if options.value_range is not None:
        return options.value_range, ""
    deep = {
        part: [number for number, header in of_part.items() if any(each.is_deep for each in header)]
        for part, of_part in headers.items()
    }
    if not any(deep.values()):
        return None, ""
    part = "train" if deep["train"] else "valid"
    reader = parts[part]
    chosen = [deep[part][place] for place in _spread(len(deep[part]), NUM_DECODED)]
    reading = options.reading()

    def extremes(place: int) -> tuple[float, float] | None:
        try:
            images = reader.encoded(chosen[place]).images
            values = [reading.values(file) for file in images]
        except ValueError:
            return None
        return min(float(v.min()) for v in values), max(float(v.max()) for v in values)

    found = [pair for pair in in_threads(extremes, len(chosen), num_threads()) if pair is not None]
    if not found:
        return None, ""
    low, high = min(pair[0] for pair in found), max(pair[1] for pair in found)
    if not low < high:
        high = low + 1.0
    what = {"train": "training", "valid": "validation"}[part]
    note = (
        f"images have more than 8 bits: {low:g} and {high:g}, the least and the largest value of "
        f"{len(found)} {what} images, become 0 and 255 (data.range: [{low:g}, {high:g}])"
    )
    return ValueRange(low, high), note


def mask_problem(parts: Mapping[str, Reader], options: MaskOptions) -> str:
    """What is wrong if most masks have colours, or a label has another colour in another mask; else empty."""
    if options.colors:
        return ""
    masks = {
        str(mask): mask
        for reader in parts.values()
        for number in _spread(len(reader), NUM_HEADERS)
        if (mask := _mask(reader, number)) is not None
    }
    headers = {name: read_palette(mask) for name, mask in masks.items()}
    coloured = [name for name, palette in headers.items() if palette == COLOURED]
    if 2 * len(coloured) > len(masks):
        looked = [coloured[place] for place in _spread(len(coloured), NUM_DECODED)]
        held = {colour for name in looked for colour in used_colours(masks[name])}
        if not held:
            return ""
        return (
            f"{coloured[0]}: most masks have colours, and must have class numbers: {proposed(sorted(held))}"
        )
    palettes = {name: palette for name, palette in headers.items() if palette not in (None, COLOURED)}
    if options.palettes == "ignore" or len(set(palettes.values())) < 2:
        return ""
    return palette_conflict({name: palette_colours(masks[name]) for name in palettes})


def mask_doubts(
    parts: Mapping[str, Reader], options: MaskOptions, decoder: MaskDecoder, *, classes_known: bool
) -> Iterator[tuple[Kind, str]]:
    """What is wrong, or may be, with the labels of some masks together; those of colours are not looked at.

    Args:
        classes_known: whether the number of classes is set, or the layout says what labels mean.
    """
    if options.colors:
        return
    chosen = [(reader, number) for reader in parts.values() for number in _spread(len(reader), NUM_DECODED)]

    def look(place: int) -> Edges | None:
        reader, number = chosen[place]
        try:
            return edges_of(read_mask(reader.encoded(number).mask), decoder.lookup == IGNORE)
        except ValueError:
            return None

    found = [edges for edges in in_threads(look, len(chosen), num_threads()) if edges is not None]
    if not found:
        return
    edges = sum(found[1:], found[0])
    classes = [decoder.class_of(label) for label in edges.pixels.nonzero()[0].tolist()]
    known = [number for number in classes if number is not None and number != IGNORE]
    number = None if None in classes or not known or max(known) >= MOST_CLASSES else 1 + max(known)
    if edges.are_smooth:
        surely = edges.are_surely_smooth and (None in classes or not classes_known)
        yield kinds.SMOOTHED if surely else kinds.PERHAPS_SMOOTHED, told(edges, number)
    if not classes_known and are_objects([each.pixels for each in found]):
        yield kinds.OBJECTS, objects_text(edges.pixels)


def _mask(reader: Reader, number: int) -> File | None:
    try:
        return reader.encoded(number).mask
    except ValueError:
        return None


def _headers(reader: Reader, number: int) -> Sequence[Header]:
    try:
        return [read_header(file) for file in reader.encoded(number).images]
    except ValueError:
        return ()


def _spread(count: int, most: int) -> list[int]:
    """Numbers below `count`, at most `most` of them at equal distances."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).astype(int).tolist())) if count else []
