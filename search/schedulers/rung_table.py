"""Trials that reached each rung, sorted by objective; kept up to date with the study, not sorted anew."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from search.config.schema import Mode
from search.schedulers.base import Rungs
from search.study.study import SearchStudy
from search.study.trial import NO_VERDICT, Outcome, TrialRecord, as_loss

Key = tuple[float, int]
"""What trials are sorted by: the objective at the rung, smaller is better, then the number."""


class _Seen(NamedTuple):
    """What the table holds of a trial."""

    keys: tuple[Key, ...] = ()
    """At rung 1, 2, … as far as it has come."""
    waiting: int = 0
    """Index of the rung at which it waits to be promoted, or runs on from; 0 if it does not."""
    unended: int = -1
    """Index of the deepest rung that it has reached, if it has not ended; otherwise -1."""


class RungTable:
    """The trials that have reached each rung, best first, and those that wait there.

    Everything is derived from the records, so a restart finds the same. A trial that diverged later is last
    at each of its rungs: what it had shown there was worth nothing. One that failed or ran out of memory is
    left out. Ranks count from 0, the best; rung indices from 1.

    Args:
        records: the trials; `update` is told of every later change.
        rungs: where trials are compared.
        mode: whether larger or smaller is better.
        among: which trials take part, by their number.
    """

    def __init__(
        self,
        records: Sequence[TrialRecord],
        rungs: Rungs,
        mode: Mode,
        among: Callable[[int], bool] = lambda number: True,
    ) -> None:
        self.rungs, self.mode, self._among = rungs, mode, among
        self._ranked: list[list[Key]] = []
        self._waiting: list[list[Key]] = []
        self._num_unended: list[int] = [0]
        self._seen: dict[int, _Seen] = {}
        self._records: dict[int, TrialRecord] = {}
        for record in records:
            self.update(record)

    @property
    def num_rungs(self) -> int:
        """Number of rungs that any trial has reached."""
        return len(self._ranked)

    def num_ranked(self, index: int) -> int:
        """Number of trials that have reached the rung and count there."""
        return len(self._ranked[index - 1]) if index else 0

    def ranked(self, index: int) -> Iterator[TrialRecord]:
        """The trials that have reached the rung, best first; the lower number first among equals."""
        return (self._records[number] for _, number in self._ranked[index - 1])

    def at(self, index: int, rank: int) -> TrialRecord:
        """The trial of that rank at the rung."""
        return self._records[self._ranked[index - 1][rank][1]]

    def rank(self, record: TrialRecord, index: int) -> int:
        """The trial's rank at the rung: how many are better there."""
        return bisect_left(self._ranked[index - 1], self._seen[record.number].keys[index - 1])

    def waiting(self, index: int) -> Iterator[tuple[int, TrialRecord]]:
        """Trials that are paused at the rung, best first, each with its rank among all that reached it."""
        for key in self._waiting[index - 1] if index else ():
            record = self._records[key[1]]
            if not record.running and (record.outcome is None or record.resumable):
                yield bisect_left(self._ranked[index - 1], key), record

    def num_unended(self, index: int) -> int:
        """Number of trials that have reached this rung and no further one, and have not ended."""
        return self._num_unended[index]

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        if not self._among(record.number):
            return
        old, new = self._seen.get(record.number, _Seen()), self._look_at(record)
        self._records[record.number] = record
        self._seen[record.number] = new
        for _ in range(len(self._ranked), len(new.keys)):
            self._ranked.append([])
            self._waiting.append([])
            self._num_unended.append(0)
        for ranked, before, now in zip_longest(self._ranked, old.keys, new.keys):
            if before != now:
                _replace(ranked, before, now)
        if (old.waiting, old.keys) != (new.waiting, new.keys):
            if old.waiting:
                _replace(self._waiting[old.waiting - 1], old.keys[old.waiting - 1], None)
            if new.waiting:
                _replace(self._waiting[new.waiting - 1], None, new.keys[new.waiting - 1])
        for seen, change in ((old, -1), (new, 1)):
            if seen.unended >= 0:
                self._num_unended[seen.unended] += change

    def _look_at(self, record: TrialRecord) -> _Seen:
        index = self.rungs.index(record)
        keys = () if record.outcome in NO_VERDICT else self._keys(record, index)
        if record.outcome is not None and not record.resumable:
            return _Seen(keys)
        # Several rungs may lie within one virtual epoch: a trial pauses once, at the last of them.
        return _Seen(keys, index if self.rungs.reached(record) else 0, index)

    def _keys(self, record: TrialRecord, index: int) -> tuple[Key, ...]:
        if record.outcome is Outcome.DIVERGED:
            return ((math.inf, record.number),) * index
        known = self._seen.get(record.number, _Seen()).keys
        # What a trial had shown at a rung stays so; only of one that diverged it was put aside.
        known = known[:index] if known and known[0][0] != math.inf else ()
        values = [self.rungs.value_at(record, rung, self.mode) for rung in range(len(known) + 1, index + 1)]
        return known + tuple((as_loss(v, self.mode), record.number) for v in values if v is not None)


def _replace(keys: list[Key], before: Key | None, now: Key | None) -> None:
    """Take one key out of a sorted list and put another in."""
    if before is not None:
        del keys[bisect_left(keys, before)]
    if now is not None:
        insort(keys, now)


def rung_table_of(
    study: SearchStudy,
    rungs: Rungs,
    mode: Mode,
    *,
    group: Hashable = None,
    among: Callable[[int], bool] = lambda number: True,
) -> RungTable:
    """The rung table of a study, which keeps it from one call to the next.

    Args:
        study: the study.
        rungs: where trials are compared.
        mode: whether larger or smaller is better.
        group: a name for those of `among`.
        among: which trials take part, by their number.
    """
    return study.indexes.get((rungs, mode, group), lambda: RungTable(study.records, rungs, mode, among))
