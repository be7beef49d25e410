"""Finds out before training which values the images of a data set use."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trainables.data.threads import in_threads, num_threads
from trainables.images.decode import read_header
from trainables.images.depth import ValueRange
from trainables.images.options import ImageOptions
from trainables.images.readers import Reader

NUM_HEADERS = 512
"""Images of each part of which it is asked whether they have more than 8 bits."""
NUM_DECODED = 64
"""Deep training images whose values are looked at."""


def find_range(parts: Mapping[str, Reader], options: ImageOptions) -> tuple[ValueRange | None, str]:
    """The range of values that becomes 0 to 255, and what is to be said of it.

    None where all images that are looked at have 8 bits. What cannot be read is left for later.
    """
    if options.value_range is not None:
        return options.value_range, ""
    deep = {
        part: [number for number in _spread(len(reader), NUM_HEADERS) if _is_deep(reader, number)]
        for part, reader in parts.items()
    }
    if not any(deep.values()):
        return None, ""
    part = "train" if deep["train"] else "valid"
    reader = parts[part]
    chosen = [deep[part][place] for place in _spread(len(deep[part]), NUM_DECODED)]
    reading = options.reading()

    def extremes(place: int) -> tuple[float, float] | None:
        try:
            images = reader.encoded(chosen[place]).images
            values = [reading.values(file) for file in images]
        except ValueError:
            return None
        return min(float(v.min()) for v in values), max(float(v.max()) for v in values)

    found = [pair for pair in in_threads(extremes, len(chosen), num_threads()) if pair is not None]
    if not found:
        return None, ""
    low, high = min(pair[0] for pair in found), max(pair[1] for pair in found)
    if not low < high:
        high = low + 1.0
    note = (
        f"images have more than 8 bits: the values from {low:g} to {high:g} that {len(found)} of them hold "
        f"become 0 to 255 (data.range: [{low:g}, {high:g}])"
    )
    return ValueRange(low, high), note


def _is_deep(reader: Reader, number: int) -> bool:
    try:
        return any(read_header(file).is_deep for file in reader.encoded(number).images)
    except ValueError:
        return False


def _spread(count: int, most: int) -> list[int]:
    """Numbers below `count`, at most `most` of them at equal distances."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).astype(int).tolist())) if count else []
