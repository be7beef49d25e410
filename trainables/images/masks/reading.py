"""One mask file at a time: its labels, or its colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from trainables.findings import SampleError, sample_error
from trainables.images import formats, kinds
from trainables.images.bands import is_array, label_shape, read_labels
from trainables.images.decode import header_size, opened
from trainables.images.depth import is_deep, raw_mode
from trainables.images.masks.colours import Colour, ColourTable, colours_of, held_colours
from trainables.images.stored import File, contents

COLOURED = b"colours"
"""Stands for the palette of a mask whose pixels are colours themselves."""

HIGHEST_LABEL = 255
UNSCALED = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow stretches greys of 2 and 4 bits to 0..255, by the raw mode of the file."""


def read_mask(file: File, colours: ColourTable | None = None) -> np.ndarray:
    """The labels as they are in the file, palette indices for one with a palette: uint8 [H, W].

    Raises:
        SampleError: the file cannot be decoded, was saved with loss, has colours, or holds a number that is
            no label.
    """
    if is_array(file):
        return _whole_numbers(file, _one_plane(file))
    with opened(file) as image:
        whole = contents(file) if image.format == "WEBP" else None
        if unfit := formats.unfit_for_masks(image, whole):
            kind, message, way_out = unfit
            raise sample_error(kind, file, message, way_out)
        if colours is not None:
            return _labels_of_colours(file, image, colours)
        factor = UNSCALED.get(raw_mode(image), 1)
        labels = _one_channel(image)
        if labels is None:
            advice = (
                "a mask must have one channel of class numbers: replace each colour by its class, save a "
                "palette PNG, or set data.colors"
            )
            message = f"has {len(image.getbands())} channels ({image.mode})"
            raise sample_error(kinds.COLOURED, file, message, advice)
    if labels.dtype == np.uint8:
        return labels // np.uint8(factor)
    return _whole_numbers(file, labels)


def read_numbers(file: File) -> np.ndarray:
    """The whole numbers [H, W] in a mask, however large; raises a SampleError as `read_mask` does."""
    if is_array(file):
        return _one_plane(file)
    with opened(file) as image:
        whole = contents(file) if image.format == "WEBP" else None
        if unfit := formats.unfit_for_masks(image, whole):
            kind, message, way_out = unfit
            raise sample_error(kind, file, message, way_out)
        numbers = _one_channel(image)
        if numbers is None or numbers.dtype.kind == "f":
            message = f"has {len(image.getbands())} channels ({image.mode})"
            raise sample_error(kinds.COLOURED, file, message, "a mask must have one channel of whole numbers")
        return numbers // np.uint8(UNSCALED.get(raw_mode(image), 1))


def mask_size(file: File) -> tuple[int, int]:
    """Height and width, without reading the labels; raises a SampleError as `read_mask` does."""
    if not is_array(file):
        return header_size(file)
    shape = label_shape(file)
    plane = shape if len(shape) == 2 else shape[1:] if shape[0] == 1 else shape
    return plane[0], plane[1] if len(plane) > 1 else 1


def _one_plane(file: File) -> np.ndarray:
    """The numbers [H, W] of an array."""
    labels = read_labels(file)
    if labels.ndim == 3 and 1 in (labels.shape[0], labels.shape[2]):
        labels = labels[0] if labels.shape[0] == 1 else labels[..., 0]
    if labels.ndim != 2 or not labels.size:
        message = f"holds an array {list(labels.shape)}, and a mask must be [H, W]"
        way_out = "save the class of each pixel, or set data.labels: multilabel if classes overlap"
        raise sample_error(kinds.WRONG_LABEL, file, message, way_out)
    return labels


def _whole_numbers(file: File, labels: np.ndarray) -> np.ndarray:
    if labels.dtype == np.uint8:
        return labels
    wrong = labels[~((labels >= 0) & (labels <= HIGHEST_LABEL) & (labels == np.rint(labels)))]
    if wrong.size:
        values, counts = np.unique(wrong, return_counts=True)
        held = labels_text(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        rule = f"labels must be whole numbers from 0 to {HIGHEST_LABEL}"
        raise sample_error(kinds.WRONG_LABEL, file, f"holds {held}; {rule}", "save the class of each pixel")
    return labels.astype(np.uint8)


def _one_channel(image: Image.Image) -> np.ndarray | None:
    """The numbers [H, W] of an open image, also of one that repeats them as red, green and blue, as WebP
    must; None where its colours differ, or some of it is transparent."""
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("L", "P", "F") or image.mode.startswith("I"):
        return np.asarray(image)
    if image.mode not in ("LA", "RGB", "RGBA") or is_deep(image):
        return None
    pixels = np.asarray(image)
    colours, transparency = pixels[..., :3], pixels[..., 3:]
    if image.mode == "LA":
        colours, transparency = pixels[..., :1], pixels[..., 1:]
    if (transparency != 255).any() or (colours != colours[..., :1]).any():
        return None
    return np.ascontiguousarray(colours[..., 0])


def read_palette(file: File) -> bytes | None:
    """The palette of a mask, or `COLOURED`; None for other masks, and for what cannot be read."""
    try:
        with opened(file) as image:
            if image.format != "JPEG" and image.mode in ("RGB", "RGBA"):
                return COLOURED
            return bytes(image.getpalette("RGB") or ()) if image.mode == "P" else None
    except SampleError:
        return None


def palette_colours(file: File) -> dict[int, Colour]:
    """The colours of the labels that a mask with a palette holds; none if it cannot be read."""
    try:
        with opened(file) as image:
            return held_colours(image)
    except SampleError:
        return {}


def used_colours(file: File) -> dict[Colour, int]:
    """How many pixels of a mask have each colour; none if it cannot be read, or holds numbers after all."""
    try:
        with opened(file) as image:
            return {} if _one_channel(image) is not None else colours_of(image)
    except SampleError:
        return {}


def _labels_of_colours(file: File, image: Image.Image, colours: ColourTable) -> np.ndarray:
    labels, unknown = colours.labels(np.asarray(image.convert("RGB")))
    if unknown:
        (colour, count), *others = sorted(unknown.items(), key=lambda item: -item[1])
        more = f" and {len(others)} more colours" if others else ""
        message = f"has the colour {list(colour)} in {count:,} pixels{more}, which data.colors lacks"
        raise sample_error(kinds.COLOURED, file, message, "add it, or correct the mask")
    return labels


def labels_text(labels: Mapping[int, int]) -> str:
    """`label 37 in 120 pixels, 41 in 3, and 5 more labels`, from the number of pixels of each."""
    (label, count), *others = sorted(labels.items(), key=lambda item: -item[1])
    texts = [f"label {label:g} in {count:,} pixels"]
    texts += [f"{label:g} in {count:,}" for label, count in others[:2]]
    return ", ".join([*texts, f"and {len(others) - 2} more labels"] if len(others) > 2 else texts)
