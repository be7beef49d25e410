"""Asynchronous successive halving by several objectives."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from search.config.schema import Objective
from search.schedulers.asha import ASHA
from search.schedulers.base import Rungs
from search.schedulers.rung_table import RungTable
from search.study.front import best_first, losses_of
from search.study.study import SearchStudy
from search.study.trial import Outcome, TrialRecord


class FrontTable(RungTable):
    """A rung table whose ranks are by non-domination at the rung, and by crowding distance among equals.

    Args:
        records, rungs: as of a rung table.
        objectives: the first chooses the virtual epoch of a trial that is compared, see `objectives_at`.
    """

    def __init__(self, records: Sequence[TrialRecord], rungs: Rungs, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self._ranks: dict[int, dict[int, int]] = {}
        """By rung: the rank of each trial, by its number."""
        super().__init__(records, rungs, objectives[0].mode)

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        self._ranks.clear()
        super().update(record)

    def ranked(self, index: int) -> Iterator[TrialRecord]:
        """The trials that have reached the rung, best first."""
        return (self._records[number] for number in self._ranks_at(index))

    def at(self, index: int, rank: int) -> TrialRecord:
        """The trial of that rank at the rung."""
        return self._records[list(self._ranks_at(index))[rank]]

    def rank(self, record: TrialRecord, index: int) -> int:
        """The trial's rank at the rung: the number of those that come before it there."""
        return self._ranks_at(index)[record.number]

    def waiting(self, index: int) -> Iterator[tuple[int, TrialRecord]]:
        """Trials that are paused at the rung, best first, each with its rank among all that reached it."""
        ranks = self._ranks_at(index)
        for rank, number in sorted((ranks[number], number) for _, number in self._waiting.get(index, ())):
            record = self._records[number]
            if not record.running and (record.outcome is None or record.resumable):
                yield rank, record

    def _ranks_at(self, index: int) -> dict[int, int]:
        if index not in self._ranks:
            numbers = sorted(number for _, number in self._ranked.get(index, ()))
            order = best_first([self._losses(self._records[number], index) for number in numbers])
            self._ranks[index] = {numbers[position]: rank for rank, position in enumerate(order)}
        return self._ranks[index]

    def _losses(self, record: TrialRecord, index: int) -> tuple[float, ...]:
        if record.outcome is Outcome.DIVERGED:
            return (math.inf,) * len(self._objectives)
        return losses_of(record, self._objectives, self.rungs.depth_at(record, index))


class MOASHA(ASHA):
    """Multi-objective asynchronous successive halving (Schmucker et al., arXiv:2106.12639), by promotion.

    As ASHA, but trials are ranked at a rung by non-domination, those of one front by crowding distance.
    """

    def __init__(self, rungs: Rungs, objectives: Sequence[Objective], num_virtual_epochs: int) -> None:
        super().__init__(rungs, objectives[0].mode, num_virtual_epochs)
        self._objectives = tuple(objectives)

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        # Any paused trial may move up: others of its front may come to be dominated while it does not.
        table = self._table(study)
        return [record for index in range(1, table.num_rungs + 1) for _, record in table.waiting(index)]

    def most_waiting(self, num_trials: int) -> int:
        return num_trials

    def _table(self, study: SearchStudy) -> FrontTable:
        return study.indexes.get(
            ("fronts", self.rungs, self._objectives),
            lambda: FrontTable(study.records, self.rungs, self._objectives),
        )
