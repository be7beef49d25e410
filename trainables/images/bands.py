"""Arrays of any number of channels: .npy and .npz, and the TIFFs that Pillow does not read."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from trainables.data.threads import NUMPY_HEADER
from trainables.findings import SampleError, sample_error
from trainables.images import formats, kinds
from trainables.images.formats import PIXEL_LIMIT
from trainables.images.stored import File, Stored, check_exists, contents

Key = Literal["image", "mask"]
"""Which array of an .npz with several is meant."""

MISSING = "needs the library tifffile, which is not installed: pip install 'tune-search[tiff]'"
_NPY, _NPZ = b"\x93NUMPY", b"PK\x03\x04"
_ALPHA = {1, 2}
"""Channels of a TIFF that are transparency, as its ExtraSamples says."""


@dataclass(frozen=True)
class Bands:
    """An image of numbers, without its pixels."""

    height: int
    width: int
    channels: int
    dtype: np.dtype
    is_transparent: bool = False
    """Whether a channel of transparency is left out."""
    shape: tuple[int, ...] = ()
    """In the file, of an array."""

    @property
    def mode(self) -> str:
        """As Pillow would name it: `16-bit L`, or `uint16, 5 channels`."""
        if self.channels > 1:
            return f"{self.dtype}, {self.channels} channels"
        bits = "" if self.dtype == np.uint8 else f"{8 * self.dtype.itemsize}-bit "
        return bits + ("float" if self.dtype.kind == "f" else "L")


@dataclass(frozen=True)
class Mapped:
    """An image on disk that stands for uint8 [H, W, C]: what is taken of it is read and converted then."""

    values: np.ndarray
    """[H, W, bands]"""
    channels: int
    convert: Callable[[np.ndarray], np.ndarray]
    """From values [h, w, bands] to uint8 [h, w, C]."""
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.values.shape[0], self.values.shape[1], self.channels

    @property
    def size(self) -> int:
        return self.values.shape[0] * self.values.shape[1] * self.channels

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        return self.convert(self.values[window])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.convert(self.values)


def is_array(file: File) -> bool:
    """Whether the file is an .npy or .npz, by its name."""
    return str(file).lower().endswith(formats.NUMPY)


def read_bands(file: File, channels_first: bool | None) -> np.ndarray:
    """Numbers [H, W, C]; those of an .npy stay on disk until they are used.

    Raises:
        SampleError: the file cannot be read, or holds something else.
    """
    if is_array(file):
        array = _array(file, "image")
        return _channels_last(file, array, channels_first)
    with _page(file) as page:
        return _tiff_pixels(file, page)


def look_at_bands(file: File, channels_first: bool | None) -> Bands:
    """Sizes and type alone; raises a SampleError as `read_bands` does."""
    if is_array(file):
        shape, dtype = _array_header(file, "image")
        array = np.broadcast_to(np.empty((), dtype), shape)
        height, width, channels = _channels_last(file, array, channels_first).shape
        return Bands(height, width, channels, dtype, shape=shape)
    with _page(file) as page:
        channels = page.samplesperpixel - sum(int(each) in _ALPHA for each in page.extrasamples)
        alpha = channels < page.samplesperpixel
        return Bands(page.imagelength, page.imagewidth, channels, np.dtype(page.dtype), is_transparent=alpha)


def read_labels(file: File) -> np.ndarray:
    """The whole numbers of a mask in an .npy or .npz, in their own shape.

    Raises:
        SampleError: the file cannot be read, or holds other than whole numbers.
    """
    labels = _array(file, "mask")
    if labels.dtype == bool:
        return labels.astype(np.uint8)
    if labels.dtype.kind not in "ui":
        message = f"holds {labels.dtype}, and a mask must hold whole numbers"
        way_out = "save class numbers, such as probabilities.argmax(0).astype('uint8')"
        raise sample_error(kinds.WRONG_LABEL, file, message, way_out)
    return labels


def label_shape(file: File) -> tuple[int, ...]:
    """That of the array in a mask, without reading it."""
    return _array_header(file, "mask")[0]


def end_of_channels(shape: tuple[int, ...]) -> int:
    """Which end of three dimensions are the channels: the shorter one, 0 or 2; -1 for neither."""
    return -1 if shape[0] == shape[2] else 0 if shape[0] < shape[2] else 2


def _channels_last(file: File, array: np.ndarray, channels_first: bool | None) -> np.ndarray:
    shown = f"holds an array {list(array.shape)} of {array.dtype}"
    if array.dtype.kind not in "buif":
        raise sample_error(kinds.FORMAT, file, shown, "an image must hold real numbers")
    if array.ndim not in (2, 3) or not array.size:
        rule = "an image must be [H, W], [H, W, C] or [C, H, W], and not empty"
        raise sample_error(kinds.FORMAT, file, shown, rule)
    if array.ndim == 2:
        return array[..., None]
    end = end_of_channels(array.shape) if channels_first is None else 0 if channels_first else 2
    if end < 0:
        message = f"{shown}, whose first and last side are equal, so the channels may be either"
        raise sample_error(kinds.FORMAT, file, message, "set data.channels_first: true or false")
    return np.moveaxis(array, 0, 2) if end == 0 else array


def _array(file: File, key: Key) -> np.ndarray:
    with _failures(file), NUMPY_HEADER:
        source = BytesIO(file.content) if isinstance(file, Stored) else file
        if str(file).lower().endswith(".npz"):
            with np.load(source, allow_pickle=False) as archive:
                return archive[_chosen(file, archive.files, key)]
        mode: Literal["r"] | None = "r" if isinstance(source, Path) else None
        return np.asarray(np.load(source, mmap_mode=mode, allow_pickle=False))


def _array_header(file: File, key: Key) -> tuple[tuple[int, ...], np.dtype]:
    with _failures(file), NUMPY_HEADER:
        if not str(file).lower().endswith(".npz"):
            array = _array(file, key)
            return array.shape, array.dtype
        source = BytesIO(file.content) if isinstance(file, Stored) else file
        with zipfile.ZipFile(source) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            with archive.open(f"{_chosen(file, names, key)}.npy") as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read = np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
    return shape, dtype


def _chosen(file: File, names: list[str], key: Key) -> str:
    """The only array of an archive, or else the one that is called as what it is wanted for."""
    if len(names) == 1:
        return names[0]
    if key not in names:
        held = f"holds the arrays {', '.join(names)}" if names else "holds no array"
        raise sample_error(kinds.FORMAT, file, held, f"it must hold one, or one that is called {key!r}")
    return key


@contextmanager
def _failures(file: File) -> Iterator[None]:
    """Any failure to read becomes a SampleError that names the file."""
    check_exists(file)
    is_archive = str(file).lower().endswith(".npz")
    if not contents(file, len(_NPY)).startswith(_NPZ if is_archive else _NPY):
        raise sample_error(kinds.UNREADABLE, file, f"is no {'archive' if is_archive else 'array'} of NumPy")
    try:
        yield
    except SampleError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            message = "holds Python objects, a pickle, which is not read, as it can run any code"
            raise sample_error(kinds.FORMAT, file, message, "save an array of numbers") from error
        raise sample_error(
            kinds.UNREADABLE, file, f"cannot be read, it may be cut short ({error})"
        ) from error


@contextmanager
def _page(file: File) -> Iterator[Any]:
    """The only page of a TIFF, opened by tifffile."""
    try:
        import tifffile
    except ModuleNotFoundError as error:
        raise sample_error(kinds.FORMAT, file, f"is a TIFF that {MISSING}") from error
    check_exists(file)
    try:
        with tifffile.TiffFile(BytesIO(file.content) if isinstance(file, Stored) else file) as tiff:
            pages = [page for page in tiff.pages if not page.is_reduced and not page.is_mask]
            if len(pages) != 1:
                raise sample_error(
                    kinds.FORMAT,
                    file,
                    f"is a TIFF of {len(pages)} pages",
                    formats.ONE_PAGE.removeprefix("; "),
                )
            height, width = pages[0].imagelength, pages[0].imagewidth
            if height * width > (Image.MAX_IMAGE_PIXELS or PIXEL_LIMIT):
                message = f"{width}x{height} is more than may be read; cut it into tiles"
                raise sample_error(kinds.UNREADABLE, file, message)
            yield pages[0]
    except SampleError:
        raise
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RuntimeError,
        struct.error,
        zlib.error,
    ) as error:
        message = f"cannot be decoded, it may be cut short ({error})"
        raise sample_error(kinds.UNREADABLE, file, message) from error


def _tiff_pixels(file: File, page: Any) -> np.ndarray:
    try:
        pixels: np.ndarray = page.asarray()
    except (ValueError, KeyError) as error:
        if "imagecodecs" not in str(error):
            raise
        what = str(error).strip("\"'").partition(" requires ")[0].strip("<>")
        message = f"is a TIFF with {what}, which tifffile reads only with imagecodecs"
        way_out = "pip install imagecodecs, or save it uncompressed or with compression='zlib'"
        raise sample_error(kinds.FORMAT, file, message, way_out) from error
    axes, size = page.axes, (page.imagelength, page.imagewidth)
    if size not in (pixels.shape[:2], pixels.shape[-2:]) or not pixels.size:
        raise sample_error(kinds.UNREADABLE, file, f"holds {list(pixels.shape)}, and its header says {size}")
    if axes not in ("YX", "YXS", "SYX"):
        raise sample_error(
            kinds.FORMAT, file, f"is a TIFF of the axes {axes}", formats.ONE_PAGE.removeprefix("; ")
        )
    if axes == "YX":
        return pixels[..., None]
    pixels = np.moveaxis(pixels, 0, 2) if axes == "SYX" else pixels
    first = pixels.shape[2] - len(page.extrasamples)
    kept = [n for n in range(pixels.shape[2]) if n < first or int(page.extrasamples[n - first]) not in _ALPHA]
    return pixels if len(kept) == pixels.shape[2] else pixels[..., kept]
