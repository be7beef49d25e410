"""One image file at a time, decoded or refused with an error that names it."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.utils.data import get_worker_info

PIXEL_LIMIT = 89_478_485
"""Pillow's own limit, for where a program has switched that off."""

UNREADABLE = "unreadable file"
"""Kind of a SampleError: it cannot be decoded."""


class SampleError(ValueError):
    """A file that cannot be used; `kind` is the same for all with the same fault."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Stored:
    """A file inside of another one."""

    name: str
    """As messages call it."""
    content: bytes

    def __str__(self) -> str:
        return self.name


def num_threads() -> int:
    """Threads that decode, one in a worker process; decoding releases Python's lock."""
    if get_worker_info() is not None:
        return 1
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def read_image(file: Path | Stored, channels: int) -> np.ndarray:
    """uint8 [H, W, channels], turned upright as its EXIF says; 16-bit grey is reduced to 8 bits.

    Raises:
        ValueError: if the file cannot be decoded.
    """
    with opened(file) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = Image.fromarray((np.asarray(upright) >> 8).clip(0, 255).astype(np.uint8))
        if upright.mode == "P" and "transparency" in upright.info:
            upright = upright.convert("RGBA")
        pixels = np.asarray(upright.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


@contextmanager
def opened(file: Path | Stored) -> Iterator[Image.Image]:
    """The open image; whatever goes wrong with it while open becomes a ValueError that names the file."""
    if isinstance(file, Path) and not file.is_file():  # A named pipe would be waited for without end.
        missing = "is no regular file" if file.exists() else "there is no such file"
        raise SampleError(UNREADABLE, f"{file}: {missing}")
    limit = Image.MAX_IMAGE_PIXELS or PIXEL_LIMIT
    too_large = f"more than {limit} pixels, which may be a decompression bomb; cut it into tiles"
    try:
        content = BytesIO(file.content) if isinstance(file, Stored) else file
        with Image.open(content, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > limit:
                raise SampleError(UNREADABLE, f"{file}: {image.width}x{image.height} is {too_large}")
            yield image
    except Image.DecompressionBombError as error:
        raise SampleError(UNREADABLE, f"{file}: has {too_large}") from error
    except UnidentifiedImageError as error:
        raise SampleError(UNREADABLE, f"{file}: is neither PNG nor JPEG, or its header is damaged") from error
    except (OSError, SyntaxError, EOFError, struct.error, zlib.error) as error:
        raise SampleError(UNREADABLE, f"{file}: cannot be decoded, it may be cut short ({error})") from error
    except SampleError:
        raise
    except ValueError as error:
        raise SampleError(UNREADABLE, f"{file}: cannot be decoded ({error})") from error
