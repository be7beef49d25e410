"""One image or mask file at a time, decoded or refused with an error that names it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.images.augment import IGNORE
from trainables.images.images import UNREADABLE, SampleError, Stored, opened, read_image

UNSCALED = {"L;2": 85, "L;4": 17}
"""Pillow stretches the greys of 2 and 4 bits to 0..255, by these factors."""


COLOURED, JPEG_MASK, WRONG_LABEL = "mask with colours", "mask saved as JPEG", "label out of range"


def mask_shape(file: Path | Stored) -> tuple[int, int]:
    """Height and width from the header alone; those of an image may be turned by its EXIF.

    Raises:
        ValueError: if the file is no PNG or JPEG, or has too many pixels.
    """
    with opened(file) as image:
        return image.height, image.width


def read_pair(
    image_file: Path | Stored,
    mask_file: Path | Stored,
    channels: int,
    lookup: np.ndarray,
    num_classes: int,
    more: Sequence[Path] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H, W, channels] and mask uint8 [H, W] of classes and `IGNORE`.

    Args:
        more: further channels of the image, one grey file each.

    Raises:
        ValueError: naming the file that cannot be decoded, does not fit to the other, or holds a wrong label.
    """
    image, mask = read_channels([image_file, *more], channels), read_mask(mask_file)
    if image.shape[:2] != mask.shape:
        raise ValueError(
            f"{mask_file}: is {mask.shape[1]}x{mask.shape[0]}, its image {image_file} "
            f"{image.shape[1]}x{image.shape[0]}; sizes must agree"
        )
    labels = map_labels(mask_file, mask, lookup)
    check_labels(mask_file, labels, num_classes)
    return image, labels


def read_channels(files: Sequence[Path | Stored], channels: int) -> np.ndarray:
    """uint8 [H, W, channels]: of one file as `read_image` does, of several each one's grey.

    Raises:
        ValueError: if a file cannot be decoded, or there is neither one (for 1 or 3 channels) nor one for
            each channel.
    """
    if len(files) == 1 and channels in (1, 3):
        return read_image(files[0], channels)
    if len(files) != channels:
        raise SampleError(
            UNREADABLE,
            f"{files[0]}: comes in {len(files)} files and data.channels is {channels}; it must be 1 or 3 for "
            "one file, or the number of files that hold one channel each (layout nnunet)",
        )
    planes = [read_image(file, 1) for file in files]
    for file, plane in zip(files, planes, strict=True):
        if plane.shape != planes[0].shape:
            sizes = [f"{found.shape[1]}x{found.shape[0]}" for found in (plane, planes[0])]
            raise SampleError(
                UNREADABLE, f"{file}: is {sizes[0]}, and {files[0]} {sizes[1]}; sizes must agree"
            )
    return np.concatenate(planes, axis=-1)


def read_mask(file: Path | Stored) -> np.ndarray:
    """The labels as they are in the file, palette indices for a palette PNG: uint8 [H, W].

    Raises:
        ValueError: if the file cannot be decoded, is no PNG, has colours, or holds a number above 255.
    """
    with opened(file) as image:
        if image.format != "PNG":
            raise SampleError(
                JPEG_MASK,
                f"{file}: is a {image.format}; masks must be PNG, because {image.format} alters labels",
            )
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise SampleError(
                COLOURED,
                f"{file}: has {len(image.getbands())} channels ({image.mode}); a mask must have one "
                "channel of class numbers: replace each colour by its class, or save a palette PNG",
            )
        factor = UNSCALED.get(_raw_mode(image), 1)
        labels = np.asarray(image)
    if labels.size and labels.max() > IGNORE:
        raise SampleError(WRONG_LABEL, f"{file}: holds label {labels.max()}; labels must be at most {IGNORE}")
    return labels.astype(np.uint8) // np.uint8(factor)


def map_labels(file: Path | Stored, labels: np.ndarray, lookup: np.ndarray) -> np.ndarray:
    """The file's labels as classes and `IGNORE`: uint8, by a table int16 [256] in which -1 is no class.

    Raises:
        ValueError: if the mask holds a label that can be none.
    """
    mapped = lookup[labels]
    if mapped.size and mapped.min() < 0:
        raise ValueError(
            f"{file}: holds label {labels[mapped < 0].max()}, which can be no class: set data.ignore_index "
            "to it if it marks pixels to leave out, or data.mask_values: {255: 1} if the mask is binary, "
            "saved as 0 and 255"
        )
    return mapped.astype(np.uint8)


def check_labels(file: Path | Stored, labels: np.ndarray, num_classes: int) -> None:
    """Refuse labels that are neither a class nor `IGNORE`.

    Raises:
        ValueError: naming the file and its largest label.
    """
    wrong = labels[(labels >= num_classes) & (labels != IGNORE)]
    if wrong.size:
        raise ValueError(
            f"{file}: holds label {wrong.max()}; with {num_classes} classes labels must be below "
            f"{num_classes} or the ignored one: raise data.num_classes, or map it in data.mask_values"
        )


def _raw_mode(image: Image.Image) -> str:
    """How grey values lie in the file, as Pillow names it: "L;4" for 4 bits."""
    tiles = getattr(image, "tile", [])
    return str(tiles[0][3]) if tiles else ""
