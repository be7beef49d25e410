"""One image file at a time, decoded or refused with an error that names it."""

from __future__ import annotations

import logging
import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from trainables.findings import SampleError, sample_error
from trainables.images import formats, kinds
from trainables.images.depth import (
    ValueRange,
    depth_and_mode,
    is_deep,
    lacks_lower_bytes,
    show_lower_bytes,
)
from trainables.text_file import not_fetched

PIXEL_LIMIT = 89_478_485
"""Pillow's own limit, used where a program has switched that off."""

# Metadata are not used: an editor's history of megabytes makes no image unreadable, and what Pillow warns of
# in them concerns nobody. The sizes of images are checked below.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By the orientation in EXIF."""


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
        with Image.open(content, formats=formats.READ) as image:
            if image.width * image.height > limit:
                raise sample_error(kinds.UNREADABLE, file, f"{image.width}x{image.height} is {too_large}")
            problem, way_out = formats.misread(image)
            if problem:
                raise sample_error(kinds.FORMAT, file, problem, way_out)
            yield image
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise sample_error(kinds.UNREADABLE, file, f"has {too_large}") from error
    except UnidentifiedImageError as error:
        if problem := not_fetched(_begin(file)):
            raise sample_error(kinds.NOT_FETCHED, file, problem) from error
        message = formats.content(_begin(file))
        kind = kinds.FORMAT if message.endswith("convert it") else kinds.UNREADABLE
        raise sample_error(kind, file, message) from error
    # A damaged TIFF has tags of other types, or lacks some.
    except (
        OSError,
        SyntaxError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        struct.error,
        zlib.error,
    ) as error:
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
            if not os.path.islink(file):
                raise sample_error(kinds.NO_FILE, file, "there is no such file") from error
            target = os.readlink(file)
            message = f"is a link to {target}, and there is no such file"
            if "annex/objects/" in target:
                message = (
                    f"is a link of git-annex to contents that were not fetched; run: git annex get {file}"
                )
                raise sample_error(kinds.NOT_FETCHED, file, message) from error
            raise sample_error(kinds.UNREADABLE, file, message) from error
        if not stat.S_ISREG(status.st_mode):
            raise sample_error(kinds.UNREADABLE, file, "is not a regular file")
        size = status.st_size
    if not size:
        raise sample_error(kinds.EMPTY, file, "is empty")


def _begin(file: File) -> bytes:
    return contents(file, formats.NUM_BYTES)


def contents(file: File, most: int = -1) -> bytes:
    """The first bytes of a file, or all of them."""
    if isinstance(file, Stored):
        return file.content[:most] if most >= 0 else file.content
    with file.open("rb") as opened_file:
        return opened_file.read(most)


def header_size(file: File) -> tuple[int, int]:
    """Height and width from the header alone; those of an image may be turned by its EXIF.

    Raises:
        SampleError: the file is in no format that is read, or has too many pixels.
    """
    with opened(file) as image:
        return image.height, image.width


@dataclass(frozen=True)
class Header:
    """What an image is, without its pixels."""

    mode: str
    """As Pillow names it, with the bits of a deeper one, as 16-bit L: L is grey, RGBA has transparency."""
    is_deep: bool
    """Whether it has more than 8 bits a channel."""
    orientation: int
    """How its EXIF says that it is to be turned: 1 is upright."""


def read_header(file: File) -> Header:
    """Look at an image file without decoding it; raises a SampleError as `opened` does."""
    with opened(file) as image:
        return Header(depth_and_mode(image), is_deep(image), orientation(image))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the images of a data set are read."""

    channels: int
    value_range: ValueRange | None = None
    """What becomes 0 to 255; None: all images have 8 bits."""
    is_found: bool = False
    """Whether the range is that of some images, and not set: what it clips is told."""
    upright: bool = True
    """Whether images are turned as their EXIF says."""

    def pixels(self, file: File) -> np.ndarray:
        """uint8 [H, W, channels].

        Raises:
            SampleError: the file cannot be decoded, or is the only one with more than 8 bits.
        """
        with opened(file) as image:
            deep = is_deep(image)
            if not deep and (self.value_range is None or not self.value_range.of_all):
                return self._converted(self._turned(image))
        values = self.values(file)
        if self.value_range is None:
            message = "has more than 8 bits a channel, and the images that were looked at have 8"
            raise sample_error(kinds.DEPTH, file, message, "set data.range, or save all images alike")
        if self.is_found:
            self.value_range.tell_outside(str(file), values)
        return self._converted(Image.fromarray(self.value_range.scaled(values)))

    def values(self, file: File) -> np.ndarray:
        """As they are in the file: [H, W] of greys, [H, W, 3] of colours.

        Raises:
            SampleError: the file cannot be decoded, or has 16-bit greys with transparency.
        """
        with opened(file) as image:
            if lacks_lower_bytes(image):
                message = "has 16-bit greys with transparency, which cannot be read"
                raise sample_error(kinds.UNREADABLE, file, message, "save it without transparency")
            deep = is_deep(image)
            values = np.asarray(self._turned(image if deep else image.convert(self._mode)))
        with opened(file) as image:
            if deep and show_lower_bytes(image):
                values = values.astype(np.uint16) << 8 | np.asarray(self._turned(image))
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            number = int((~np.isfinite(values)).sum())
            message = f"holds {number:,} numbers that are NaN or infinite, of {values.size:,}"
            raise sample_error(kinds.NOT_FINITE, file, message, "replace them, as by 0")
        return values[..., :3] if values.ndim == 3 else values

    @property
    def _mode(self) -> str:
        return "L" if self.channels == 1 else "RGB"

    def _turned(self, image: Image.Image) -> Image.Image:
        transposed = _TURNS.get(orientation(image)) if self.upright else None
        return image if transposed is None else image.transpose(transposed)

    def _converted(self, image: Image.Image) -> np.ndarray:
        if image.mode == "P" and "transparency" in image.info:
            image = image.convert("RGBA")
        pixels = np.asarray(image.convert(self._mode))
        return pixels.reshape(*pixels.shape[:2], self.channels)


def orientation(image: Image.Image) -> int:
    """How the EXIF of an open image says that it is to be turned: 1 is upright, as is what cannot be read."""
    if image.format == "TIFF":  # a turned one is refused, as Pillow would turn masks too
        return 1
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except (SyntaxError, ValueError, TypeError, OSError, struct.error, KeyError):
        return 1


def read_channels(files: Sequence[File], reading: Reading) -> np.ndarray:
    """uint8 [H, W, channels]: one file, or the greys of one file for each channel.

    Raises:
        SampleError: a file cannot be decoded, or their number does not fit.
    """
    channels = reading.channels
    if len(files) == 1 and channels in (1, 3):
        return reading.pixels(files[0])
    if len(files) != channels:
        message = (
            f"comes in {len(files)} files and data.channels is {channels}; it must be 1 or 3 for one file, "
            "or the number of files that hold one channel each (layout nnunet)"
        )
        raise sample_error(kinds.UNREADABLE, files[0], message)
    planes = [replace(reading, channels=1).pixels(file) for file in files]
    for file, plane in zip(files, planes, strict=True):
        if plane.shape != planes[0].shape:
            sizes = f"is {size_text(plane)}, and {files[0]} {size_text(planes[0])}; sizes must agree"
            raise sample_error(kinds.UNREADABLE, file, sizes)
    return np.concatenate(planes, axis=-1)


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle square, with the shorter side scaled to `side`."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    fitted = ImageOps.fit(image, (side, side), method=Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(side, side, pixels.shape[-1])


def size_text(pixels: np.ndarray) -> str:
    """`<width>x<height>` of [H, W, ...]."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
