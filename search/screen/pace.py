"""How much of a search is done, and about how long the rest takes."""

from __future__ import annotations

from search.run.coordinator import Coordinator
from trainables.data.virtual_epoch import VirtualEpochs

_SHORTEST = 0.02
"""Share of a search that has to be done for its pace to be known."""


def share_done(search: Coordinator) -> float:
    """Rough share of the search that is done, from 0 to 1, by the limit that is nearest."""
    shares = [] if search.budget.trials is None else [_trained_share(search, search.budget.trials)]
    shares += [limit.spent / limit.total for limit in search.reserve.limits]
    # A scheduler may take more than expected; the search is not over while a trial is running.
    return min(0.99 if search.running else 1.0, max(shares))


def lengths_of(search: Coordinator) -> VirtualEpochs | None:
    """Lengths of the virtual epochs of a trial, once there is one with a report."""
    return next((r.lengths for r in search.study.records if r.lengths is not None), None)


class Pace:
    """How fast a search comes nearer to its end.

    It is measured from the first reports of this session on, one for each trial that runs at once: what goes
    before them is spent on starting processes and on sending the data, once and for all.
    """

    def __init__(self) -> None:
        self._reports = 0
        self._began: tuple[float, float] | None = None

    def reported(self, search: Coordinator) -> None:
        """A virtual epoch has been reported."""
        self._reports += 1
        if self._reports == search.concurrency:
            self._began = search.elapsed_seconds, share_done(search)

    def seconds_left(self, search: Coordinator) -> float | None:
        """Rough time to the end at this pace; None while it is unknown and there is no limit of time."""
        left = self._left(search)
        if search.budget.seconds is None:
            return left
        until_limit = max(0.0, search.budget.seconds - search.elapsed_seconds)
        return until_limit if left is None else min(left, until_limit)

    def _left(self, search: Coordinator) -> float | None:
        if self._began is None or self._reports < 2 * search.concurrency:
            return None
        seconds, share = self._began
        done = share_done(search)
        if done - share <= _SHORTEST:
            return None
        return (search.elapsed_seconds - seconds) * (1 - done) / (done - share)


def _trained_share(search: Coordinator, num_trials: int) -> float:
    """Share of the expected virtual epochs that were trained; an ended trial counts as one of full length."""
    records, limits = search.study.records, search.budget
    expected = search.scheduler.expected_virtual_epochs(
        num_trials, limits.max_virtual_epochs, lengths_of(search)
    )
    if expected is not None:
        return sum(r.depth for r in records) / max(1, expected)
    full = limits.max_virtual_epochs
    trained = sum(full if r.outcome and not r.resumable else r.depth for r in records)
    return trained / max(1, full * num_trials)
