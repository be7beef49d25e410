"""Times the virtual epochs of running jobs, and what comes before the first of each."""

from __future__ import annotations

from collections.abc import Callable

from search.study.times import Times
from search.study.trial import TrialRecord


class JobTimes:
    """Knows when each running virtual epoch began, and which is its job's first.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[int, float] = {}
        """When the running virtual epoch of each trial began, by its number."""
        self._before: dict[int, float] = {}
        """Seconds of the last report of each trial's running job, by the trial's own report."""
        self._starting: dict[int, float] = {}
        """Seconds of the start of each trial's job so far, until a report of it counts."""

    def begin(self, number: int) -> None:
        """A job of trial `number` begins."""
        self._since[number] = self._clock()
        self._before.pop(number, None)
        self._starting[number] = 0.0

    def report(self, record: TrialRecord, seconds: float) -> tuple[float, Times]:
        """Seconds of the virtual epoch that has ended now, and the times of the trial with it.

        Args:
            record: the trial.
            seconds: that it has trained so far by its own report.
        """
        number = record.number
        own, wall = max(0.0, seconds - self._before.get(number, record.seconds)), self._lap(number)
        self._before[number] = seconds
        start = self._starting.pop(number, None)
        return own, record.times.with_one_more(own, wall + (start or 0.0), first=start is not None)

    def repeat(self, record: TrialRecord, seconds: float) -> None:
        """A virtual epoch that the study holds already has been computed again, and counts for nothing.

        Args:
            record: the trial.
            seconds: that it has trained up to there by its own report.
        """
        number, wall = record.number, self._lap(record.number)
        if number not in self._before:
            # Where the job began is not known to a millisecond: the trial's mean stands for its first one.
            self._starting[number] += max(0.0, wall - record.seconds / record.depth)
        self._before[number] = seconds

    def _lap(self, number: int) -> float:
        now = self._clock()
        wall, self._since[number] = now - self._since[number], now
        return wall
