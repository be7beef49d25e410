"""Numbers that stand for a missing value, such as -999, far from all others of their column."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

_NINES = re.compile(r"9+0*")
_FILL = {200.0, 32767.0, 32768.0, 65535.0, 2147483647.0, 2147483648.0}
"""Others that instruments and formats use, besides powers of ten from 1e10 on."""
_AT_EACH_END = 5
"""Different numbers at each end of a column that are looked at."""
_FAR = 1000.0
"""How many times farther than all others a number must be that does not look like a sentinel."""
_ENOUGH = 10
"""Different numbers that such a one is compared with."""


def sentinels(numbers: np.ndarray) -> Iterator[tuple[float, float, float]]:
    """Each such number of a column, with the least and the greatest of the other numbers.

    Args:
        numbers: float64 [N], NaN where one is missing.
    """
    values, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
    ends = {*range(min(_AT_EACH_END, len(values))), *range(max(0, len(values) - _AT_EACH_END), len(values))}
    alike = {place for place in ends if _looks_like_one(values[place])}
    for place in sorted(ends):
        others = np.delete(values, sorted(alike | {place}))
        if len(others) < (2 if place in alike else _ENOUGH):
            continue
        low, high = float(others[0]), float(others[-1])
        if _is_one(float(values[place]), int(counts[place]), place in alike, low, high):
            yield float(values[place]), low, high


def _looks_like_one(value: float) -> bool:
    size = abs(value)
    if size in _FILL or (size >= 1e10 and f"{size:.6e}".startswith("1.000000")):
        return True
    return size >= 9 and _NINES.fullmatch(f"{size:.10g}".replace(".", "")) is not None


def _is_one(value: float, count: int, looks_like_one: bool, low: float, high: float) -> bool:
    gap, scale = max(low - value, value - high), max(high - low, abs(low), abs(high))
    if gap <= 0:
        return False
    if not looks_like_one or gap > _FAR * scale:
        return gap > _FAR * scale
    if value < 0:
        return gap > scale or (low >= 0 and count > 1 and value <= -99)
    return value >= 99 and (gap > 10 * scale or (count > 1 and gap > 2 * scale))
