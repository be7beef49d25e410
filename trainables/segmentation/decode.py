"""One image or mask file at a time, decoded or refused with an error that names it."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainables.segmentation.augment import IGNORE

PIXEL_LIMIT = 89_478_485
"""Pillow's own limit, for where a program has switched that off."""

UNSCALED = {"L;2": 85, "L;4": 17}
"""Pillow stretches the greys of 2 and 4 bits to 0..255, by these factors."""


def num_threads() -> int:
    """Threads that decode; decoding releases Python's lock."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def count_pixels(file: Path) -> int:
    """From the header alone.

    Raises:
        ValueError: if the file is no PNG or JPEG, or has too many pixels.
    """
    with _opened(file) as image:
        return image.width * image.height


def read_pair(
    image_file: Path, mask_file: Path, channels: int, lookup: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H, W, channels] and mask uint8 [H, W] of classes and `IGNORE`.

    Raises:
        ValueError: naming the file that cannot be decoded, does not fit to the other, or holds a wrong label.
    """
    image, mask = read_image(image_file, channels), read_mask(mask_file)
    if image.shape[:2] != mask.shape:
        raise ValueError(
            f"{mask_file}: is {mask.shape[1]}x{mask.shape[0]}, its image {image_file} "
            f"{image.shape[1]}x{image.shape[0]}; sizes must agree"
        )
    labels = map_labels(mask_file, mask, lookup)
    check_labels(mask_file, labels, num_classes)
    return image, labels


def read_image(file: Path, channels: int) -> np.ndarray:
    """uint8 [H, W, channels], turned upright as its EXIF says; 16-bit grey is reduced to 8 bits.

    Raises:
        ValueError: if the file cannot be decoded.
    """
    with _opened(file) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = Image.fromarray((np.asarray(upright) >> 8).clip(0, 255).astype(np.uint8))
        if upright.mode == "P" and "transparency" in upright.info:
            upright = upright.convert("RGBA")
        pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def read_mask(file: Path) -> np.ndarray:
    """The labels as they are in the file, palette indices for a palette PNG: uint8 [H, W].

    Raises:
        ValueError: if the file cannot be decoded, is no PNG, has colours, or holds a number above 255.
    """
    with _opened(file) as image:
        if image.format != "PNG":
            raise ValueError(
                f"{file}: is a {image.format}; masks must be PNG, because {image.format} alters labels"
            )
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise ValueError(
                f"{file}: has {len(image.getbands())} channels ({image.mode}); a mask must have one "
                "channel of class numbers: replace each colour by its class, or save a palette PNG"
            )
        factor = UNSCALED.get(_raw_mode(image), 1)
        labels = np.asarray(image)
    if labels.size and labels.max() > IGNORE:
        raise ValueError(f"{file}: holds label {labels.max()}; labels must be at most {IGNORE}")
    return labels.astype(np.uint8) // np.uint8(factor)


def map_labels(file: Path, labels: np.ndarray, lookup: np.ndarray) -> np.ndarray:
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


def check_labels(file: Path, labels: np.ndarray, num_classes: int) -> None:
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


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """The open image; whatever goes wrong with it while open becomes a ValueError that names the file."""
    if not file.is_file():  # A named pipe would be waited for without end.
        raise ValueError(f"{file}: {'is no regular file' if file.exists() else 'there is no such file'}")
    limit = Image.MAX_IMAGE_PIXELS or PIXEL_LIMIT
    too_large = f"more than {limit} pixels, which may be a decompression bomb; cut it into tiles"
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > limit:
                raise ValueError(f"{file}: {image.width}x{image.height} is {too_large}")
            yield image
    except Image.DecompressionBombError as error:
        raise ValueError(f"{file}: has {too_large}") from error
    except UnidentifiedImageError as error:
        raise ValueError(f"{file}: is neither PNG nor JPEG, or its header is damaged") from error
    except (OSError, SyntaxError, EOFError, struct.error, zlib.error) as error:
        raise ValueError(f"{file}: cannot be decoded, it may be cut short ({error})") from error
    except ValueError as error:
        if str(error).startswith(f"{file}: "):
            raise
        raise ValueError(f"{file}: cannot be decoded ({error})") from error
