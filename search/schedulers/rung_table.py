"""Who stands where at each rung, kept up to date with the study: a decision need not sort all trials anew."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from search.study.study import Outcome, SearchStudy, TrialRecord

if TYPE_CHECKING:
    from search.schedulers.early_stopping import Rungs

Key = tuple[float, int]
"""What trials are sorted by: the objective at the rung, smaller is better, then the number."""

NO_VERDICT = (Outcome.FAILED, Outcome.OUT_OF_MEMORY)
"""Ends that say nothing about a trial's parameters: it takes nobody's place."""


class HasRecords(Protocol):
    """As much of a study as standings are made from."""

    records: list[TrialRecord]


class _Seen(NamedTuple):
    """What the standings hold of a trial."""

    keys: tuple[Key, ...] = ()
    """At rung 1, 2, … as far as it has come."""
    waiting: int = 0
    """The rung at which it waits to be promoted, or runs on from; 0 if it does not."""
    unended: int = -1
    """Rungs that it has reached, if it has not ended."""


class Standings:
    """The trials that have reached each rung, best first, and those that wait there.

    Everything is derived from the records, so a restart finds the same. A trial that diverged later is last
    wherever it stands: what it had shown there was worth nothing. One that failed or ran out of memory is
    left out. Levels count rungs from 1.

    Args:
        records: of which `update` then tells every change.
        rungs: where trials are compared.
        mode: whether larger or smaller is better.
        among: which trials take part, by their number.
    """

    def __init__(
        self,
        records: Sequence[TrialRecord],
        rungs: Rungs,
        mode: Literal["max", "min"],
        among: Callable[[int], bool] = lambda number: True,
    ) -> None:
        self._rungs, self._mode, self._among = rungs, mode, among
        self._ranked: list[list[Key]] = []
        self._waiting: list[list[Key]] = []
        self._num_unended: list[int] = [0]
        self._seen: dict[int, _Seen] = {}
        self._records: dict[int, TrialRecord] = {}
        for record in records:
            self.update(record)

    @property
    def num_levels(self) -> int:
        """Rungs that any trial has reached."""
        return len(self._ranked)

    def num_ranked(self, level: int) -> int:
        """Trials that have reached the rung and count there."""
        return len(self._ranked[level - 1]) if level else 0

    def ranked(self, level: int) -> Iterator[TrialRecord]:
        """The trials that have reached the rung, best first; the lower number first among equals."""
        return (self._records[number] for _, number in self._ranked[level - 1])

    def at(self, level: int, place: int) -> TrialRecord:
        """The trial in that place at the rung; 0 is the best."""
        return self._records[self._ranked[level - 1][place][1]]

    def place(self, record: TrialRecord, level: int) -> int:
        """How many trials stand before this one at the rung."""
        return bisect_left(self._ranked[level - 1], self._seen[record.number].keys[level - 1])

    def waiting(self, level: int) -> Iterator[tuple[int, TrialRecord]]:
        """Trials that are paused at the rung, best first, each with its place among all that reached it."""
        for key in self._waiting[level - 1] if level else ():
            record = self._records[key[1]]
            if not record.running and (record.outcome is None or record.dormant):
                yield bisect_left(self._ranked[level - 1], key), record

    def num_unended(self, level: int) -> int:
        """Trials that have reached this rung and no further one, and have not ended; level 0 is none yet."""
        return self._num_unended[level]

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
        level = self._rungs.level(record)
        keys = () if record.outcome in NO_VERDICT else self._keys(record, level)
        if record.outcome is not None and not record.dormant:
            return _Seen(keys)
        # Several rungs may lie within one virtual epoch: a trial pauses once, at the last of them.
        return _Seen(keys, level if self._rungs.reached(record) else 0, level)

    def _keys(self, record: TrialRecord, level: int) -> tuple[Key, ...]:
        if record.outcome is Outcome.DIVERGED:
            return ((math.inf, record.number),) * level
        known = self._seen.get(record.number, _Seen()).keys
        # What a trial had shown at a rung stays so; only of one that diverged it was put aside.
        known = known[:level] if known and known[0][0] != math.inf else ()
        sign = -1.0 if self._mode == "max" else 1.0
        values = [self._rungs.value_at(record, rung, self._mode) for rung in range(len(known) + 1, level + 1)]
        return known + tuple((sign * value, record.number) for value in values if value is not None)


def _replace(keys: list[Key], before: Key | None, now: Key | None) -> None:
    """Take one key out of a sorted list and put another in."""
    if before is not None:
        del keys[bisect_left(keys, before)]
    if now is not None:
        insort(keys, now)


def standings_of(
    study: HasRecords,
    rungs: Rungs,
    mode: Literal["max", "min"],
    *,
    group: Hashable = None,
    among: Callable[[int], bool] = lambda number: True,
) -> Standings:
    """The standings of a study, which keeps them from one call to the next.

    Args:
        study: one that tells of no changes gets standings made anew.
        rungs: where trials are compared.
        mode: whether larger or smaller is better.
        group: names those of `among`.
        among: which trials take part, by their number.
    """
    if not isinstance(study, SearchStudy):
        return Standings(study.records, rungs, mode, among)
    return study.indexes.get((rungs, mode, group), lambda: Standings(study.records, rungs, mode, among))
