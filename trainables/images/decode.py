"""One image or mask file at a time, decoded or refused with an error that names it."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.utils.data import get_worker_info

from trainables.findings import SampleError, sample_error
from trainables.images import kinds

PIXEL_LIMIT = 89_478_485
"""Pillow's own limit, for where a program has switched that off."""

HIGHEST_LABEL = 255
UNSCALED = {"L;2": 85, "L;4": 17}
"""Pillow stretches the greys of 2 and 4 bits to 0..255, by these factors."""


@dataclass(frozen=True)
class Stored:
    """A file inside of another one."""

    name: str
    """As messages call it."""
    content: bytes

    def __str__(self) -> str:
        return self.name


File = Path | Stored


def num_threads() -> int:
    """Threads that decode, one in a worker process; decoding releases Python's lock."""
    if get_worker_info() is not None:
        return 1
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@contextmanager
def opened(file: File) -> Iterator[Image.Image]:
    """The open image; whatever goes wrong with it while open becomes a SampleError that names the file."""
    _check_there(file)
    limit = Image.MAX_IMAGE_PIXELS or PIXEL_LIMIT
    too_large = f"more than {limit} pixels, which may be a decompression bomb; cut it into tiles"
    unreadable = kinds.UNREADABLE
    try:
        content = BytesIO(file.content) if isinstance(file, Stored) else file
        with Image.open(content, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > limit:
                raise sample_error(unreadable, file, f"{image.width}x{image.height} is {too_large}")
            yield image
    except Image.DecompressionBombError as error:
        raise sample_error(unreadable, file, f"has {too_large}") from error
    except UnidentifiedImageError as error:
        told = "is neither PNG nor JPEG, or its header is damaged"
        raise sample_error(unreadable, file, told) from error
    except (OSError, SyntaxError, EOFError, struct.error, zlib.error) as error:
        raise sample_error(unreadable, file, f"cannot be decoded, it may be cut short ({error})") from error
    except SampleError:
        raise
    except ValueError as error:
        raise sample_error(unreadable, file, f"cannot be decoded ({error})") from error


def _check_there(file: File) -> None:
    """Refuse what is not there, empty, or a named pipe, which would be waited for without end."""
    if isinstance(file, Stored):
        size = len(file.content)
    else:
        try:
            status = file.stat()
        except OSError as error:
            raise sample_error(
                kinds.UNREADABLE if os.path.lexists(file) else kinds.NO_FILE, file, "there is no such file"
            ) from error
        if not stat.S_ISREG(status.st_mode):
            raise sample_error(kinds.UNREADABLE, file, "is no regular file")
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
    """uint8 [H, W, channels]: of one file as `read_image` does, of several each one's grey.

    Raises:
        SampleError: a file cannot be decoded, or there is neither one (for 1 or 3 channels) nor one for each
            channel.
    """
    if len(files) == 1 and channels in (1, 3):
        return read_image(files[0], channels)
    if len(files) != channels:
        raise sample_error(
            kinds.UNREADABLE,
            files[0],
            f"comes in {len(files)} files and data.channels is {channels}; it must be 1 or 3 for one file, "
            "or the number of files that hold one channel each (layout nnunet)",
        )
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
            raise sample_error(
                kinds.JPEG_MASK,
                file,
                f"is a {image.format}",
                f"masks must be PNG, because {image.format} alters labels",
            )
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise sample_error(
                kinds.COLOURED,
                file,
                f"has {len(image.getbands())} channels ({image.mode})",
                "a mask must have one channel of class numbers: replace each colour by its class, or save a "
                "palette PNG",
            )
        factor = UNSCALED.get(_raw_mode(image), 1)
        labels = np.asarray(image)
    if labels.size and labels.max() > HIGHEST_LABEL:
        values, counts = np.unique(labels[labels > HIGHEST_LABEL], return_counts=True)
        told = labels_text(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        raise sample_error(kinds.WRONG_LABEL, file, f"holds {told}; labels must be at most {HIGHEST_LABEL}")
    return labels.astype(np.uint8) // np.uint8(factor)


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """The shorter side scaled to `side`, and the middle square."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    fitted = ImageOps.fit(image, (side, side), method=Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(side, side, pixels.shape[-1])


def size_text(pixels: np.ndarray) -> str:
    """`<width>x<height>` of [H, W, ...]."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def labels_text(labels: dict[int, int], shown: int = 3) -> str:
    """`label 37 in 120 pixels, 41 in 3, and 5 more labels`, from the number of pixels of each."""
    first = sorted(labels.items(), key=lambda item: -item[1])[:shown]
    told = ", ".join(f"{label} in {count:,}" for label, count in first[1:])
    head = f"label {first[0][0]} in {first[0][1]:,} pixels" + (f", {told}" if told else "")
    return head + (f", and {len(labels) - shown} more labels" if len(labels) > shown else "")


def _raw_mode(image: Image.Image) -> str:
    """How grey values lie in the file, as Pillow names it: "L;4" for 4 bits."""
    tiles = getattr(image, "tile", [])
    return str(tiles[0][3]) if tiles else ""
