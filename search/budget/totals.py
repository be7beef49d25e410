"""What a study has spent, and its best trial, without looking at all trials anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from search.config.schema import Mode
from search.study.study import SearchStudy
from search.study.trial import BROKEN_OFF, TrialRecord, best_record
from trainables.data.virtual_epoch import VirtualEpochs


@dataclass(frozen=True)
class Spent:
    """What trials have taken so far, in whole numbers, so that their sum does not depend on the order."""

    virtual_epochs: int = 0
    steps: int = 0
    samples: int = 0
    ms: int = 0
    """The trials' own milliseconds."""
    broken_off: int = 0
    """Virtual epochs in which a trial diverged or failed: they were begun, and there is no report of them."""
    wall_ms: int = 0
    wall_squares: int = 0
    num_timed: int = 0
    within: int = 0
    """Sum of the squared differences of wall times from the mean of their trial."""

    def __add__(self, other: Spent) -> Spent:
        return Spent(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Spent) -> Spent:
        return Spent(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Totals:
    """Sums over the trials of a study, and the best of them, kept up to date with each change."""

    def __init__(self, records: Sequence[TrialRecord], mode: Mode) -> None:
        self.spent = Spent()
        self._records, self._mode = records, mode
        self._of: dict[int, Spent] = {}
        self.lengths: dict[VirtualEpochs, None] = {}
        """Lengths of virtual epochs that trials have had."""
        self._best: TrialRecord | None = None
        self._best_is_known = False
        for record in records:
            self.update(record)

    @property
    def best(self) -> TrialRecord | None:
        """The best trial of the search, as in its summary."""
        if not self._best_is_known:
            self._best, self._best_is_known = best_record(self._records, self._mode), True
        return self._best

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        now = _spent_by(record)
        self.spent = self.spent - self._of.get(record.number, Spent()) + now
        self._of[record.number] = now
        if record.lengths is not None:
            self.lengths.setdefault(record.lengths)
        best = self._best
        if best is None or (record is best and (record.outcome in BROKEN_OFF or record.of_other_data)):
            self._best_is_known = False
        elif record is not best:
            self._best = best_record([best, record], self._mode)


def totals_of(study: SearchStudy) -> Totals:
    """The totals that the study keeps up to date."""
    return study.indexes.get("totals", lambda: Totals(study.records, study.mode))


def _spent_by(record: TrialRecord) -> Spent:
    ms, squares, count = record.wall
    return Spent(
        virtual_epochs=record.depth,
        steps=record.steps,
        samples=record.samples,
        ms=round(record.seconds * 1000),
        broken_off=int(record.outcome in BROKEN_OFF),
        wall_ms=ms,
        wall_squares=squares,
        num_timed=count,
        within=round(squares - ms * ms / count) if count else 0,
    )
