"""Looks at some images before training: how they lie, and which values they use."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.data.threads import in_threads, num_threads
from trainables.images.decode import Header, holds_bands, read_header
from trainables.images.depth import ValueRange
from trainables.images.options import ImageOptions, MaskOptions
from trainables.images.readers import Reader

NUM_HEADERS = 512
"""Samples of each part whose headers are looked at."""
NUM_DECODED = 64
"""Samples of each part that are decoded: training images if they are deep, and masks."""
_TAILS = 0.1, 99.9
"""Percentiles of an image's values, but the least and the largest, between which nearly all of them lie."""
_FEW = 0.25
"""Share of the range that nearly all values take, below which the rest of it is worth a word."""
_MOST_VALUES = 2**20
"""Of an image that are counted."""


Headers = Mapping[str, Mapping[int, Sequence[Header]]]
"""Of some samples of each part, by number; of one that cannot be read none."""


def look_at_headers(parts: Mapping[str, Reader], options: ImageOptions) -> Headers:
    first = options.channels_first
    return {
        part: {number: _headers(reader, number, first) for number in spread(len(reader), NUM_HEADERS)}
        for part, reader in parts.items()
    }


def find_channels(origin: str, headers: Headers, options: ImageOptions) -> tuple[int, str]:
    """The number of channels of most images, 3 for those that are converted, and what is to be said of it.

    Raises:
        ValueError: they are not three, and ImageNet's statistics are asked for.
    """
    looked = [header for of_part in headers.values() for header in of_part.values() if header]
    files = Counter(len(header) for header in looked if len(header) > 1)
    of_one_file = [header[0].bands for header in looked]
    held = files or Counter(3 if each is None else each.channels for each in of_one_file)
    channels = options.channels or (held.most_common(1)[0][0] if held else 3)
    if options.normalization == "imagenet" and channels != 3:
        raise ValueError(
            f"{origin}: images have {channels} channels, and data.normalization is imagenet, whose "
            "statistics are of RGB; leave it out"
        )
    ranges = options.range
    if isinstance(ranges[0], tuple) and len(ranges) != channels:
        raise ValueError(
            f"{origin}: data.range has {len(ranges)} pairs, and images have {channels} channels; set one "
            "pair for each channel, or one for all"
        )
    told, bands = "", [each for each in of_one_file if each is not None]
    if bands and not files and channels not in (1, 3):
        shape = next((list(each.shape) for each in bands if len(each.shape) == 3), None)
        arrays = f", the first an array {shape} (data.channels_first)" if shape else ""
        told = f"{origin}: images have {channels} channels of {bands[0].dtype}{arrays}"
    if transparent := sum(each.is_transparent for each in bands):
        left_out = f"{transparent} of {len(looked)} images have a channel of transparency, which is left out"
        told = f"{told}; {left_out}" if told else f"{origin}: {left_out}"
    return channels, told


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


@dataclass(frozen=True)
class _Used:
    """Values of an image."""

    low: float
    high: float
    inner: tuple[float, float] | None
    """Between which nearly all lie, besides the least and the largest, which may stand for no data."""


def find_range(
    parts: Mapping[str, Reader], headers: Headers, options: ImageOptions
) -> tuple[ValueRange | None, str]:
    """The range of values that becomes 0 to 255, for arrays one a channel, and what is to be said of it.

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
    chosen = [deep[part][place] for place in spread(len(deep[part]), NUM_DECODED)]
    found = _of_most_channels(_used_by(parts[part], chosen, options))
    if not found:
        return None, ""
    bounds = [_bounds(of_channel) for of_channel in zip(*found, strict=True)]
    value_range = ValueRange(*bounds[0]) if len(bounds) == 1 else _range_of_each(bounds)
    what = {"train": "training", "valid": "validation"}[part]
    low, high = bounds[0]
    extremes = f"the least and the largest value of {len(found)} {what} images"
    extremes = f"{low:g} and {high:g}, {extremes}," if len(bounds) == 1 else f"of each channel {extremes}"
    note = f"images have more than 8 bits: {extremes} become 0 and 255 (data.range: {value_range})"
    readable = sum(bool(header) for of_part in headers.values() for header in of_part.values())
    of_8_bits = readable - sum(map(len, deep.values()))
    if of_8_bits:
        note += (
            f"; {of_8_bits} of the images looked at have 8 bits and stay as they are: where 255 in them is "
            "65535 in the others, set data.range: 16bit"
        )
    return value_range, note + _flat(found, bounds)


def _range_of_each(bounds: Sequence[tuple[float, float]]) -> ValueRange:
    return ValueRange(tuple(low for low, _ in bounds), tuple(high for _, high in bounds))


def _bounds(used: Sequence[_Used]) -> tuple[float, float]:
    low, high = min(each.low for each in used), max(each.high for each in used)
    return low, high if low < high else low + 1.0


def _of_most_channels(found: Sequence[Sequence[_Used]]) -> list[Sequence[_Used]]:
    """Images of the number of channels that most have; the others are wrong samples, found later."""
    if not found:
        return []
    most = Counter(map(len, found)).most_common(1)[0][0]
    return [used for used in found if len(used) == most]


def _used_by(reader: Reader, numbers: Sequence[int], options: ImageOptions) -> list[list[_Used]]:
    """The values of these samples, of an array for each channel; those that cannot be read are left out."""
    reading = options.reading()

    def look(place: int) -> list[_Used] | None:
        try:
            files = reader.encoded(numbers[place]).images
            images = [reading.values(file) for file in files]
        except ValueError:
            return None
        if len(images) == 1 and holds_bands(files[0]):
            channels = np.moveaxis(np.atleast_3d(images[0]), 2, 0)
            return [_used([np.ascontiguousarray(channel)]) for channel in channels]
        return [_used(images)]

    return [used for used in in_threads(look, len(numbers), num_threads()) if used is not None]


def _used(images: Sequence[np.ndarray]) -> _Used:
    images = [each.ravel() for each in images]
    low, high = min(float(each.min()) for each in images), max(float(each.max()) for each in images)
    some = np.concatenate([each[:: 1 + each.size // _MOST_VALUES] for each in images])
    some = some[(some > low) & (some < high)]
    tails = np.percentile(some, _TAILS).tolist() if some.size else None
    return _Used(low, high, None if tails is None else (tails[0], tails[1]))


def _flat(found: Sequence[Sequence[_Used]], bounds: Sequence[tuple[float, float]]) -> str:
    """What is to be said where a few values take most of the range, as -9999 for no data; else empty."""
    by_channel = zip(*found, strict=True)
    inner = [_inner(used, *limits) for used, limits in zip(by_channel, bounds, strict=True)]
    if not any(inner):
        return ""
    pairs = [pair or of_channel for pair, of_channel in zip(inner, bounds, strict=True)]
    (first, last) = next(pair for pair in inner if pair)
    whose, wanted = "", f"[{first:g}, {last:g}]"
    if len(bounds) > 1:
        whose = f" of channel {next(number for number, pair in enumerate(inner) if pair)}"
        wanted = "[" + ", ".join(f"[{low:g}, {high:g}]" for low, high in pairs) + "]"
    return (
        f"; nearly all values{whose} lie between {first:g} and {last:g}, so the images become dark or flat: "
        f"set data.range: {wanted} if the others stand for no data or for single bright pixels"
    )


def _inner(used: Sequence[_Used], low: float, high: float) -> tuple[float, float] | None:
    """Between which nearly all values of a channel lie, where that is a small part of its range."""
    inner = [each.inner for each in used if each.inner is not None]
    if not inner:
        return None
    first, last = min(pair[0] for pair in inner), max(pair[1] for pair in inner)
    if last - first >= _FEW * (high - low) or first == last:
        return None
    if float(low).is_integer() and float(high).is_integer() and last - first > 1:
        return math.floor(first), math.ceil(last)
    return first, last


def _headers(reader: Reader, number: int, channels_first: bool | None) -> Sequence[Header]:
    try:
        return [read_header(file, channels_first) for file in reader.encoded(number).images]
    except ValueError:
        return ()


def spread(count: int, most: int) -> list[int]:
    """Numbers below `count`, at most `most` of them at equal distances."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).astype(int).tolist())) if count else []
