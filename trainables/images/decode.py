"""One image or mask file at a time, decoded or refused with an error that names it."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainables.findings import SampleError, sample_error
from trainables.images import kinds

PIXEL_LIMIT = 89_478_485
"""Pillow's own limit, used where a program has switched that off."""

HIGHEST_LABEL = 255
UNSCALED = {"L;2": 85, "L;4": 17}
"""Factors by which Pillow stretches greys of 2 and 4 bits to 0..255, by the raw mode of the file."""


@dataclass(frozen=True)
class Stored:
    """A file inside of another one."""

    name: str
    """As messages call it."""
    content: bytes

    def __str__(self) -> str:
        return self.name


File = Path | Stored


@contextmanager
def opened(file: File) -> Iterator[Image.Image]:
    """The open image; any failure to read it while it is open becomes a SampleError that names the file."""
    _check_exists(file)
    limit = Image.MAX_IMAGE_PIXELS or PIXEL_LIMIT
    too_large = f"more than {limit} pixels, which may be a decompression bomb; cut it into tiles"
    try:
        content = BytesIO(file.content) if isinstance(file, Stored) else file
        with Image.open(content, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > limit:
                raise sample_error(kinds.UNREADABLE, file, f"{image.width}x{image.height} is {too_large}")
            yield image
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise sample_error(kinds.UNREADABLE, file, f"has {too_large}") from error
    except UnidentifiedImageError as error:
        message = "is neither PNG nor JPEG, or its header is damaged"
        raise sample_error(kinds.UNREADABLE, file, message) from error
    except (OSError, SyntaxError, EOFError, ValueError, struct.error, zlib.error) as error:
        hint = "" if isinstance(error, ValueError) else ", it may be cut short"
        raise sample_error(kinds.UNREADABLE, file, f"cannot be decoded{hint} ({error})") from error


def _check_exists(file: File) -> None:
    """Refuse what is missing, empty, or a named pipe, which would block forever."""
    if isinstance(file, Stored):
        size = len(file.content)
    else:
        try:
            status = file.stat()
        except OSError as error:
            kind = kinds.UNREADABLE if os.path.lexists(file) else kinds.NO_FILE
            raise sample_error(kind, file, "there is no such file") from error
        if not stat.S_ISREG(status.st_mode):
            raise sample_error(kinds.UNREADABLE, file, "is not a regular file")
        size = status.st_size
    if not size:
        raise sample_error(kinds.EMPTY, file, "is empty")


def header_size(file: File) -> tuple[int, int]:
    """Height and width from the header alone; those of an image may be turned by its EXIF.

    Raises:
        SampleError: the file is no PNG or JPEG, or has too many pixels.
    """
    with opened(file) as image:
        return image.height, image.width


def image_mode(file: File) -> str:
    """As Pillow names it: L is grey, RGBA has transparency."""
    with opened(file) as image:
        return image.mode


def read_image(file: File, channels: int) -> np.ndarray:
    """uint8 [H, W, channels], turned upright as its EXIF says; 16-bit grey is reduced to 8 bits.

    Raises:
        SampleError: the file cannot be decoded.
    """
    with opened(file) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = Image.fromarray((np.asarray(upright) >> 8).clip(0, 255).astype(np.uint8))
        if upright.mode == "P" and "transparency" in upright.info:
            upright = upright.convert("RGBA")
        pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def read_channels(files: Sequence[File], channels: int) -> np.ndarray:
    """uint8 [H, W, channels]: one file as `read_image` reads it, or the greys of one file for each channel.

    Raises:
        SampleError: a file cannot be decoded, or their number does not fit.
    """
    if len(files) == 1 and channels in (1, 3):
        return read_image(files[0], channels)
    if len(files) != channels:
        message = (
            f"comes in {len(files)} files and data.channels is {channels}; it must be 1 or 3 for one file, "
            "or the number of files that hold one channel each (layout nnunet)"
        )
        raise sample_error(kinds.UNREADABLE, files[0], message)
    planes = [read_image(file, 1) for file in files]
    for file, plane in zip(files, planes, strict=True):
        if plane.shape != planes[0].shape:
            sizes = f"is {size_text(plane)}, and {files[0]} {size_text(planes[0])}; sizes must agree"
            raise sample_error(kinds.UNREADABLE, file, sizes)
    return np.concatenate(planes, axis=-1)


def read_mask(file: File) -> np.ndarray:
    """The labels as they are in the file, palette indices for a palette PNG: uint8 [H, W].

    Raises:
        SampleError: the file cannot be decoded, is no PNG, has colours, or holds a number above 255.
    """
    with opened(file) as image:
        if image.format != "PNG":
            advice = f"masks must be PNG, because {image.format} alters labels"
            raise sample_error(kinds.JPEG_MASK, file, f"is a {image.format}", advice)
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            advice = (
                "a mask must have one channel of class numbers: replace each colour by its class, or save a "
                "palette PNG"
            )
            message = f"has {len(image.getbands())} channels ({image.mode})"
            raise sample_error(kinds.COLOURED, file, message, advice)
        tiles = getattr(image, "tile", [])
        factor = UNSCALED.get(tiles[0][3], 1) if tiles else 1
        labels = np.asarray(image)
    if labels.size and labels.max() > HIGHEST_LABEL:
        values, counts = np.unique(labels[labels > HIGHEST_LABEL], return_counts=True)
        held = labels_text(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        raise sample_error(kinds.WRONG_LABEL, file, f"holds {held}; labels must be at most {HIGHEST_LABEL}")
    return labels.astype(np.uint8) // np.uint8(factor)


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle square, with the shorter side scaled to `side`."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    fitted = ImageOps.fit(image, (side, side), method=Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(side, side, pixels.shape[-1])


def size_text(pixels: np.ndarray) -> str:
    """`<width>x<height>` of [H, W, ...]."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def labels_text(labels: Mapping[int, int]) -> str:
    """`label 37 in 120 pixels, 41 in 3, and 5 more labels`, from the number of pixels of each."""
    (label, count), *others = sorted(labels.items(), key=lambda item: -item[1])
    texts = [f"label {label} in {count:,} pixels", *(f"{label} in {count:,}" for label, count in others[:2])]
    return ", ".join([*texts, f"and {len(others) - 2} more labels"] if len(others) > 2 else texts)
