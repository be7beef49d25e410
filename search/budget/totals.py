"""What a study has spent, and its best trial, without looking at all trials anew."""

from __future__ import annotations

from collections.abc import Sequence

from search.config.schema import Mode
from search.study.spent import Spent, spent_by
from search.study.study import SearchStudy
from search.study.trial import BROKEN_OFF, TrialRecord, best_record
from trainables.data.virtual_epoch import VirtualEpochs


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
        now = spent_by(record)
        self.spent = self.spent - self._of.get(record.number, Spent()) + now
        self._of[record.number] = now
        if record.lengths is not None:
            self.lengths.setdefault(record.lengths)
        best = self._best
        if best is None or (record is best and self._may_have_fallen(record)):
            self._best_is_known = False
        elif record is not best:
            self._best = best_record([best, record], self._mode)

    def _may_have_fallen(self, record: TrialRecord) -> bool:
        """Its rank may be worse than before, which more reports alone never make it."""
        is_short = record.depth < record.window  # it had come to its end, and now goes on
        return record.outcome in BROKEN_OFF or record.of_other_data or is_short


def totals_of(study: SearchStudy) -> Totals:
    """The totals that the study keeps up to date."""
    return study.indexes.get("totals", lambda: Totals(study.records, study.mode))
