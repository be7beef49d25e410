"""How much of a search is done, and about how long the rest takes."""

from __future__ import annotations

from search.budget.trained import lengths_seen, trained_share
from search.run.coordinator import Coordinator
from trainables.data.virtual_epoch import VirtualEpochs

_SHORTEST = 0.02
"""Share of a search that has to be done for its pace to be known."""


def share_done(search: Coordinator) -> float:
    """Rough share of the search that is done, from 0 to 1, by the limit that is nearest."""
    budget, records = search.budget, search.study.records
    shares = []
    if budget.trials is not None:
        shares.append(trained_share(records, search.scheduler, budget.trials, budget.max_virtual_epochs))
    shares += [limit.spent / limit.total for limit in search.reserve.limits]
    # A scheduler may take more than expected; the search is not over while a trial is running.
    return min(0.99 if search.running else 1.0, max(shares))


def lengths_of(search: Coordinator) -> VirtualEpochs | None:
    """Lengths of the virtual epochs of a trial, once there is one with a report."""
    return lengths_seen(search.study.records)


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
