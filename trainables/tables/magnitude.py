"""How large the numbers of a column are, to tell those in other units from those of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np

_ENOUGH = 5
"""Numbers from which on ranges that do not overlap are no chance."""
_OTHER_UNIT = 30.0
"""Ratio of typical sizes beyond which units differ: by 100 or 1000, give or take chance."""


class Magnitude(NamedTuple):
    """Of some numbers of one column."""

    low: float
    high: float
    size: float
    """The median of absolute values other than 0; 0 if there are none."""

    @classmethod
    def of(cls, numbers: np.ndarray) -> Self:
        """Of float64 [N] without NaN, N >= 1."""
        other = numbers[numbers != 0]
        size = float(np.median(np.abs(other))) if len(other) else 0.0
        return cls(float(numbers.min()), float(numbers.max()), size)

    @classmethod
    def recorded(cls, entry: Mapping[str, Any]) -> Self | None:
        """That of the training, from an encoding; None in one of before."""
        return cls(*(entry[key] for key in cls._fields)) if set(cls._fields) <= entry.keys() else None

    def __str__(self) -> str:
        return f"{self.low:.6g} to {self.high:.6g}"


def other_magnitude(numbers: np.ndarray, training: Magnitude) -> str:
    """How numbers float64 [N] without NaN differ as a whole from those of the training; else empty.

    Of fewer than five only that is told which lies far beyond all numbers of the training.
    """
    if not len(numbers):
        return ""
    found = Magnitude.of(numbers)
    largest = max(abs(training.low), abs(training.high))
    if len(numbers) < _ENOUGH:
        beyond = found.size > _OTHER_UNIT * largest > 0
        return "far beyond all of it: are the units the same?" if beyond else ""
    ratio = found.size / training.size if found.size and training.size else 1.0
    if not 1 / _OTHER_UNIT < ratio < _OTHER_UNIT:
        size = f"{ratio:,.0f} times as large" if ratio > 1 else f"{1 / ratio:,.0f} times smaller"
        return f"about {size}: the units must agree"
    if found.low > training.high or found.high < training.low:
        return "these ranges do not overlap: are the units the same?"
    return ""
