"""Looks at some images before training: how they lie, and which values they use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.data.threads import in_threads, num_threads
from trainables.images.decode import Header, read_header
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


def look_at_headers(parts: Mapping[str, Reader]) -> Headers:
    return {
        part: {number: _headers(reader, number) for number in spread(len(reader), NUM_HEADERS)}
        for part, reader in parts.items()
    }


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
    """The range of values that becomes 0 to 255, and what is to be said of it.

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
    found = _used_by(parts[part], chosen, options)
    if not found:
        return None, ""
    low, high = min(each.low for each in found), max(each.high for each in found)
    if not low < high:
        high = low + 1.0
    what = {"train": "training", "valid": "validation"}[part]
    note = (
        f"images have more than 8 bits: {low:g} and {high:g}, the least and the largest value of "
        f"{len(found)} {what} images, become 0 and 255 (data.range: [{low:g}, {high:g}])"
    )
    readable = sum(bool(header) for of_part in headers.values() for header in of_part.values())
    of_8_bits = readable - sum(map(len, deep.values()))
    if of_8_bits:
        note += (
            f"; {of_8_bits} of the images looked at have 8 bits and stay as they are: where 255 in them is "
            "65535 in the others, set data.range: 16bit"
        )
    return ValueRange(low, high), note + _flat(found, low, high)


def _used_by(reader: Reader, numbers: Sequence[int], options: ImageOptions) -> list[_Used]:
    """The values of these samples; those that cannot be read are left out."""
    reading = options.reading()

    def look(place: int) -> _Used | None:
        try:
            images = [reading.values(file).ravel() for file in reader.encoded(numbers[place]).images]
        except ValueError:
            return None
        low, high = min(float(each.min()) for each in images), max(float(each.max()) for each in images)
        some = np.concatenate([each[:: 1 + each.size // _MOST_VALUES] for each in images])
        some = some[(some > low) & (some < high)]
        tails = np.percentile(some, _TAILS).tolist() if some.size else None
        return _Used(low, high, None if tails is None else (tails[0], tails[1]))

    return [used for used in in_threads(look, len(numbers), num_threads()) if used is not None]


def _flat(found: Sequence[_Used], low: float, high: float) -> str:
    """What is to be said where a few values take most of the range, as -9999 for no data; else empty."""
    inner = [each.inner for each in found if each.inner is not None]
    if not inner:
        return ""
    first, last = min(pair[0] for pair in inner), max(pair[1] for pair in inner)
    if last - first >= _FEW * (high - low) or first == last:
        return ""
    if float(low).is_integer() and float(high).is_integer() and last - first > 1:
        first, last = math.floor(first), math.ceil(last)
    return (
        f"; nearly all values lie between {first:g} and {last:g}, so the images become dark or flat: set "
        f"data.range: [{first:g}, {last:g}] if the others stand for no data or for single bright pixels"
    )


def _headers(reader: Reader, number: int) -> Sequence[Header]:
    try:
        return [read_header(file) for file in reader.encoded(number).images]
    except ValueError:
        return ()


def spread(count: int, most: int) -> list[int]:
    """Numbers below `count`, at most `most` of them at equal distances."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).astype(int).tolist())) if count else []
