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
        self._starting: set[int] = set()
        """Trials whose job has reported nothing yet."""

    def begin(self, number: int) -> None:
        """A job of trial `number` begins."""
        self._since[number] = self._clock()
        self._starting.add(number)

    def report(self, record: TrialRecord, own: float) -> Times:
        """The times of the trial with the virtual epoch that has ended now.

        Args:
            record: the trial.
            own: seconds of the virtual epoch by the trial's own report.
        """
        now, first = self._clock(), record.number in self._starting
        wall, self._since[record.number] = now - self._since[record.number], now
        self._starting.discard(record.number)
        return record.times.with_one_more(max(0.0, own), wall, first=first)
