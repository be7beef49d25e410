"""Trials that reached each rung, sorted by objective; kept up to date with the study, not sorted anew."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import NamedTuple

from search.config.schema import Mode
from search.schedulers.base import Rungs
from search.study.study import SearchStudy
from search.study.trial import NO_VERDICT, Outcome, TrialRecord, as_loss

Key = tuple[float, int]
"""What trials are sorted by: the objective at the rung, smaller is better, then the number."""


class _Entry(NamedTuple):
    """What the table holds of a trial."""

    keys: tuple[Key, ...] = ()
    """At rung 1, 2, … as far as it has come."""
    waiting: int = 0
    """Index of the rung at which it waits to be promoted, or runs on from; 0 if it does not."""
    unended: int = -1
    """Index of the deepest rung that it has reached, if it has not ended; otherwise -1."""


class RungTable:
    """The trials that have reached each rung, best first, and those that wait there.

    Derived from the records alone, so a restart finds the same. A trial that diverged later is last at each
    of its rungs; one that failed, ran out of memory, is of other data or is audited is left out. Ranks count
    from 0, the best; rung indices from 1.

    Args:
        records: the trials; `update` is called with every later change.
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
        self._ranked: defaultdict[int, list[Key]] = defaultdict(list)
        self._waiting: defaultdict[int, list[Key]] = defaultdict(list)
        self._num_unended: Counter[int] = Counter()
        self._entries: dict[int, _Entry] = {}
        self._records: dict[int, TrialRecord] = {}
        for record in records:
            self.update(record)

    @property
    def num_rungs(self) -> int:
        """Number of rungs that any trial has reached."""
        return max(self._ranked, default=0)

    def num_ranked(self, index: int) -> int:
        """Number of trials that have reached the rung and count there."""
        return len(self._ranked.get(index, ()))

    def ranked(self, index: int) -> Iterator[TrialRecord]:
        """The trials that have reached the rung, best first; the lower number first among equals."""
        return (self._records[number] for _, number in self._ranked[index])

    def at(self, index: int, rank: int) -> TrialRecord:
        """The trial of that rank at the rung."""
        return self._records[self._ranked[index][rank][1]]

    def rank(self, record: TrialRecord, index: int) -> int:
        """The trial's rank at the rung: the number of better ones there."""
        return bisect_left(self._ranked[index], self._entries[record.number].keys[index - 1])

    def waiting(self, index: int) -> Iterator[tuple[int, TrialRecord]]:
        """Trials that are paused at the rung, best first, each with its rank among all that reached it."""
        for key in self._waiting.get(index, ()):
            record = self._records[key[1]]
            if not record.running and (record.outcome is None or record.resumable):
                yield bisect_left(self._ranked[index], key), record

    def num_waiting(self, index: int) -> int:
        """Number of trials that `waiting` gives."""
        records = (self._records[number] for _, number in self._waiting.get(index, ()))
        return sum(not each.running and (each.outcome is None or each.resumable) for each in records)

    def num_unended(self, index: int) -> int:
        """Number of trials that have reached this rung and no further one, and have not ended."""
        return self._num_unended[index]

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        if record.audited or not self._among(record.number):
            return
        old, new = self._entries.get(record.number, _Entry()), self._entry(record)
        self._records[record.number], self._entries[record.number] = record, new
        for index, key in enumerate(old.keys, start=1):
            _remove(self._ranked[index], key)
        for index, key in enumerate(new.keys, start=1):
            insort(self._ranked[index], key)
        if old.waiting:
            _remove(self._waiting[old.waiting], old.keys[old.waiting - 1])
        if new.waiting:
            insort(self._waiting[new.waiting], new.keys[new.waiting - 1])
        self._num_unended[old.unended] -= 1
        self._num_unended[new.unended] += 1

    def _entry(self, record: TrialRecord) -> _Entry:
        if record.of_other_data:
            return _Entry()
        index = self.rungs.index(record)
        keys = () if record.outcome in NO_VERDICT else tuple(self._keys(record, index))
        if record.outcome is not None and not record.resumable:
            return _Entry(keys)
        # Several rungs may lie within one virtual epoch: a trial pauses once, at the last of them.
        return _Entry(keys, index if self.rungs.pauses(record) else 0, index)

    def _keys(self, record: TrialRecord, deepest: int) -> Iterator[Key]:
        for index in range(1, deepest + 1):
            value = self.rungs.value_at(record, index, self.mode)
            assert value is not None
            diverged = record.outcome is Outcome.DIVERGED
            yield math.inf if diverged else as_loss(value, self.mode), record.number


def _remove(keys: list[Key], key: Key) -> None:
    """Take a key out of a sorted list."""
    del keys[bisect_left(keys, key)]


def rung_table_of(
    study: SearchStudy,
    rungs: Rungs,
    mode: Mode,
    *,
    group: Hashable = None,
    among: Callable[[int], bool] = lambda number: True,
) -> RungTable:
    """The rung table that the study keeps for these arguments; `group` names the trials of `among`."""
    return study.indexes.get((rungs, mode, group), lambda: RungTable(study.records, rungs, mode, among))
