"""What a trial's virtual epochs took, and what the search around them did."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from operator import add, sub
from typing import Self


def wall_clock() -> float:
    """Seconds since 1970, to a millisecond."""
    return round(time.time(), 3)


@dataclass(frozen=True)
class Summed:
    """Whole numbers, or others of these, that are added and subtracted field by field."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(add, vars(self).values(), vars(other).values()))

    def __sub__(self, other: Self) -> Self:
        return type(self)(*map(sub, vars(self).values(), vars(other).values()))


@dataclass(frozen=True)
class Times(Summed):
    """What a trial's virtual epochs took, and the search around them.

    Jobs take time to start: a new process reads the data first, once. That and what each virtual epoch takes
    besides, as to save its checkpoint, are kept apart. Whole milliseconds, so that sums do not depend on
    their order.
    """

    ms: int = 0
    """Of virtual epochs, by the trial's own report."""
    squares: int = 0
    """Sum of the squares."""
    timed: int = 0
    """Virtual epochs; older versions did not keep these times."""
    beside_ms: int = 0
    """Wall time of virtual epochs besides, but for the first of each job."""
    besides: int = 0
    """Virtual epochs of that."""
    start_ms: int = 0
    """Wall time of a job's first virtual epoch besides."""
    starts: int = 0

    def with_one_more(self, own: float, wall: float, *, first: bool) -> Times:
        """With one more virtual epoch.

        Args:
            own: its seconds by the trial's own report.
            wall: as the search saw it, since the report before it or since the job began.
            first: of its job.
        """
        ms = round(own * 1000)
        beside = max(0, round(wall * 1000) - ms)
        longer = replace(self, ms=self.ms + ms, squares=self.squares + ms * ms, timed=self.timed + 1)
        if first:
            return replace(longer, start_ms=self.start_ms + beside, starts=self.starts + 1)
        return replace(longer, beside_ms=self.beside_ms + beside, besides=self.besides + 1)
