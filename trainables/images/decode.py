"""One image file at a time, decoded or refused with an error that names it."""

from __future__ import annotations

import importlib.util
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import cast

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from trainables.findings import SampleError, sample_error
from trainables.images import formats, kinds
from trainables.images.bands import Bands, Mapped, is_array, look_at_bands, read_bands
from trainables.images.depth import (
    ValueRange,
    depth_and_mode,
    holds_upper_bytes,
    is_deep,
    lacks_lower_bytes,
    show_lower_bytes,
)
from trainables.images.stored import File, Stored, check_exists, contents
from trainables.text_file import not_fetched

# Metadata are not used: an editor's history of megabytes makes no image unreadable, and what Pillow warns of
# in them concerns nobody. The sizes of images are checked below.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)

_NEVER_TIFF = (".png", ".jpg", ".jpeg", ".webp")
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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


@contextmanager
def opened(file: File) -> Iterator[Image.Image]:
    """The open image; any failure to read it while it is open becomes a SampleError that names the file."""
    check_exists(file)
    limit = Image.MAX_IMAGE_PIXELS or formats.PIXEL_LIMIT
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


def _begin(file: File) -> bytes:
    return contents(file, formats.NUM_BYTES)


def holds_bands(file: File) -> bool:
    """Whether a file is read as an array of any number of channels: by NumPy or, for a TIFF, by tifffile."""
    if is_array(file):
        return True
    if str(file).lower().endswith(_NEVER_TIFF) or importlib.util.find_spec("tifffile") is None:
        return False
    try:
        if not _begin(file).startswith(_TIFF_MARKS):
            return False
        with Image.open(BytesIO(file.content) if isinstance(file, Stored) else file) as image:
            return formats.is_for_tifffile(image)
    except UnidentifiedImageError:
        return _tifffile_reads(file)
    except Exception:  # whatever a damaged file makes Pillow raise is told when it is opened
        return False


def _tifffile_reads(file: File) -> bool:
    try:
        look_at_bands(file, None)
    except SampleError:
        return False
    return True


def header_size(file: File, channels_first: bool | None = None) -> tuple[int, int]:
    """Height and width from the header alone; those of an image may be turned by its EXIF.

    Raises:
        SampleError: the file is in no format that is read, or has too many pixels.
    """
    if holds_bands(file):
        bands = look_at_bands(file, channels_first)
        return bands.height, bands.width
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
    bands: Bands | None = None
    """Of one that is read as an array; others are converted to grey or RGB."""


def read_header(file: File, channels_first: bool | None = None) -> Header:
    """Look at an image file without decoding it; raises a SampleError as `opened` does."""
    if holds_bands(file):
        bands = look_at_bands(file, channels_first)
        return Header(bands.mode, bands.dtype != np.uint8, 1, bands)
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
    channels_first: bool | None = None
    """Of arrays: [C, H, W] or [H, W, C]; None: the shorter end is the channels."""
    channels_found: bool = False
    """Whether the number of channels is that of most images, and not set."""
    by_window: bool = False
    """Whether arrays on disk stay there until a window of them is taken, see `Mapped`."""
    of_model: bool = False
    """Whether a trained model takes them, so that no option can be set any more."""

    def pixels(self, file: File) -> np.ndarray:
        """uint8 [H, W, channels].

        Raises:
            SampleError: the file cannot be decoded, or is the only one with more than 8 bits.
        """
        if holds_bands(file):
            return self._of_bands(file)
        with opened(file) as image:
            deep = is_deep(image)
            if not deep and (self.value_range is None or not self.value_range.of_all):
                return self._converted(self._turned(image))
        return self._converted(Image.fromarray(self._scaled(file, self.values(file))))

    def of_picture(self, image: Image.Image) -> np.ndarray:
        """As `pixels`, of an image that Pillow has opened or made.

        Raises:
            SampleError: it is none that is read, or Pillow holds a part of its file alone.
        """
        called = Stored(str(getattr(image, "filename", "")) or "the image", b"")
        problem, way_out = formats.misread(image)
        if not problem and holds_upper_bytes(image):
            problem, way_out = "has 16 bits, of which Pillow holds 8", "give its path"
        if problem:
            raise sample_error(kinds.FORMAT, called, problem, way_out)
        if not is_deep(image) and (self.value_range is None or not self.value_range.of_all):
            return self._converted(self._turned(image))
        values = self._finite(
            called, np.asarray(self._turned(image if is_deep(image) else image.convert(self._mode)))
        )
        return self._converted(Image.fromarray(self._scaled(called, values)))

    def _scaled(self, file: File, values: np.ndarray) -> np.ndarray:
        if self.value_range is None:
            others = "training images" if self.of_model else "images that were looked at"
            way_out = "save it with 8" if self.of_model else "set data.range, or save all images alike"
            message = f"has more than 8 bits a channel, and the {others} have 8"
            raise sample_error(kinds.DEPTH, file, message, way_out)
        if self.is_found or self.of_model:
            self.value_range.tell_outside(str(file), values, can_be_set=not self.of_model)
        return self.value_range.scaled(values)

    def _of_bands(self, file: File) -> np.ndarray:
        """One channel is repeated where three are wanted, as greys are."""
        values = read_bands(file, self.channels_first)
        held = values.shape[2]
        if held != self.channels and (held, self.channels) != (1, 3):
            raise other_channels(file, f"{held} channels" if held > 1 else "one channel", self)
        if values.dtype == np.uint8 and (self.value_range is None or not self.value_range.of_all):
            return values if held == self.channels else values.repeat(3, axis=2)

        def converted(part: np.ndarray) -> np.ndarray:
            scaled = self._scaled(file, self._finite(file, part))
            return scaled if held == self.channels else scaled.repeat(3, axis=2)

        # Whoever takes a window of it knows no difference.
        return (
            cast(np.ndarray, Mapped(values, self.channels, converted))
            if self.by_window
            else converted(values)
        )

    def values(self, file: File) -> np.ndarray:
        """As they are in the file: [H, W] of greys, [H, W, 3] of colours, [H, W, C] of an array.

        Raises:
            SampleError: the file cannot be decoded, or has 16-bit greys with transparency.
        """
        if holds_bands(file):
            values = self._finite(file, read_bands(file, self.channels_first))
            return values if values.shape[2] > 1 else values[..., 0]
        with opened(file) as image:
            if lacks_lower_bytes(image):
                message = "has 16-bit greys with transparency, which cannot be read"
                raise sample_error(kinds.UNREADABLE, file, message, "save it without transparency")
            deep = is_deep(image)
            values = np.asarray(self._turned(image if deep else image.convert(self._mode)))
        with opened(file) as image:
            if deep and show_lower_bytes(image):
                values = values.astype(np.uint16) << 8 | np.asarray(self._turned(image))
        values = self._finite(file, values)
        return values[..., :3] if values.ndim == 3 else values

    def _finite(self, file: File, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            number = int((~np.isfinite(values)).sum())
            message = f"holds {number:,} numbers that are NaN or infinite, of {values.size:,}"
            raise sample_error(kinds.NOT_FINITE, file, message, "replace them, as by 0")
        return values

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
    if len(files) == 1 and (channels in (1, 3) or holds_bands(files[0])):
        return reading.pixels(files[0])
    if len(files) == 1 and reading.channels_found:
        raise other_channels(files[0], "grey or RGB", reading)
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


def other_channels(file: File, held: str, reading: Reading) -> SampleError:
    """The error for an image of another number of channels than is read."""
    rule = f"most images have {reading.channels}"
    way_out = "save all images alike"
    if reading.of_model:
        rule, way_out = f"the model takes {reading.channels}", "convert it"
    elif not reading.channels_found:
        rule = f"data.channels is {reading.channels}"
        way_out = "set it to the number that the images have, or leave it out"
    return sample_error(kinds.CHANNELS, file, f"has {held}, and {rule}", way_out)


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle square, with the shorter side scaled to `side`."""
    if pixels.shape[-1] not in (1, 3):
        planes = [resized(pixels[..., n : n + 1], side) for n in range(pixels.shape[-1])]
        return np.concatenate(planes, axis=-1)
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
    fitted = ImageOps.fit(image, (side, side), method=Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(side, side, pixels.shape[-1])


def size_text(pixels: np.ndarray) -> str:
    """`<width>x<height>` of [H, W, ...]."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
