"""Asynchronous successive halving, by promotion and by stopping."""

from __future__ import annotations

from bisect import bisect_left

from search.config.schema import Mode
from search.schedulers.base import Decision, Rungs, Scheduler, amount_of
from search.schedulers.brackets import Brackets
from search.schedulers.rung_table import RungTable, rung_table_of
from search.study.study import SearchStudy
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs


class ASHA(Scheduler):
    """Asynchronous successive halving (Li et al., arXiv:1810.05934): pause at each rung, promote the best.

    A paused trial is promoted when it is among the best 1/reduction_factor of all that reached its rung;
    deeper rungs first. Once no new trial will begin (`closing`) and nothing is running or promotable, the
    best trial of the deepest rung continues alone, so that even a search of few trials ends with a fully
    trained one.

    Args:
        rungs: where trials pause.
        mode: whether larger or smaller is better.
        num_virtual_epochs: the full length.
        brackets: which rung is a trial's first one, where that is measured; None: always rung 1.
    """

    pauses = True

    def __init__(
        self, rungs: Rungs, mode: Mode, num_virtual_epochs: int, *, brackets: Brackets | None = None
    ) -> None:
        self.rungs, self.brackets = rungs, brackets
        self.first_bracket = brackets.least if brackets else 0
        self._mode = mode
        self._num_virtual_epochs = num_virtual_epochs

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        at_end = record.depth >= self._num_virtual_epochs
        return Decision.PAUSE if self.rungs.pauses(record) and not at_end else Decision.GO_ON

    def next_bracket(self, study: SearchStudy) -> int:
        return self.brackets.next(study) if self.brackets else 0

    def earned(self, study: SearchStudy, record: TrialRecord) -> int | None:
        """The first rung that is believed and that it passed, though it is not among the best there."""
        if self.brackets is None or record.audited or not record.bracket:
            return None
        table, believed = self._table(study), self.brackets.believed(study)
        for index in range(believed + 1, min(record.bracket, self.rungs.index(record)) + 1):
            if table.rank(record, index) >= max(1, table.num_ranked(index) // self.rungs.reduction_factor):
                return index
        return None

    def bracket_text(self, study: SearchStudy, record: TrialRecord) -> str:
        return self.brackets.text(study, record) if self.brackets else ""

    def next_decision(
        self,
        number: int,
        depth: int,
        lengths: VirtualEpochs | None,
        num_virtual_epochs: int,
        bracket: int = 0,
    ) -> int:
        return self.rungs.next_depth(depth, lengths, num_virtual_epochs, bracket + 1)

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        table, believed = self._table(study), self.brackets.believed(study) if self.brackets else 0
        for index in range(table.num_rungs, believed, -1):
            rank, record = next(table.waiting(index), (0, None))
            if record is not None and rank < table.num_ranked(index) // self.rungs.reduction_factor:
                return record
        alone = closing and not any(r.running for r in study.records)
        return self._winner(study, table) if alone else None

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        # Rung by rung, as many as would continue if all reached it that can, and the best, which may alone.
        table = self._table(study)
        found: list[TrialRecord] = []
        to_come = num_new
        for index in range(table.num_rungs + 1):
            num_promoted = (table.num_ranked(index) + to_come) // self.rungs.reduction_factor
            promotable: list[TrialRecord] = []
            for rank, record in table.waiting(index):
                if promotable and rank >= num_promoted:
                    break
                promotable.append(record)
            found += promotable
            to_come += len(promotable) + table.num_unended(index) - table.num_waiting(index)
        return found

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        if self.rungs.axis != "virtual_epochs" and lengths is None:
            return None
        amounts = [amount_of(self.rungs.axis, lengths, depth) for depth in range(1, num_virtual_epochs)]
        rung = self.rungs.grace_period * self.rungs.reduction_factor**self.first_bracket
        total, depth, left = 0, 0, num_trials
        while left >= 1 and (first := bisect_left(amounts, rung)) < len(amounts):
            # Several rungs may lie within one virtual epoch: a trial pauses once, at the last of them.
            while rung <= amounts[first]:
                rung *= self.rungs.reduction_factor
            total += left * (first + 1 - depth)
            depth, left = first + 1, left // self.rungs.reduction_factor
        let_through = self.brackets.virtual_epochs_of(num_trials) if self.brackets else 0
        return total + max(1, left) * (num_virtual_epochs - depth) + let_through

    def _table(self, study: SearchStudy) -> RungTable:
        return rung_table_of(study, self.rungs, self._mode)

    def _winner(self, study: SearchStudy, table: RungTable) -> TrialRecord | None:
        """The best paused trial of the deepest rung, unless a trial has already been trained to its end.

        The end is its full length, or a plateau at which it was the best of that rung.
        """
        # A trial that was let through is fully trained, but not as the best.
        records = (
            r for r in study.records if r.outcome not in BROKEN_OFF and not r.of_other_data and not r.audited
        )
        if any(record.depth >= self._num_virtual_epochs for record in records):
            return None
        at, winner = 0, None
        for index in range(table.num_rungs, 0, -1):
            _, best = next(table.waiting(index), (0, None))
            if best is not None and (winner is None or self._overtakes(study, table, best, winner, index)):
                at, winner = index, best
        if winner is None:
            return None
        rivals = (record for record in table.ranked(at) if record is winner or _has_stopped(record))
        return winner if next(rivals) is winner else None

    def _overtakes(
        self, study: SearchStudy, table: RungTable, record: TrialRecord, other: TrialRecord, index: int
    ) -> bool:
        """The other one has gone further only since it was not compared at the rung where this one waits."""
        believed = self.brackets.believed(study) if self.brackets else 0
        passed = believed < index <= other.bracket
        return passed and table.rank(record, index) < table.rank(other, index)


def _has_stopped(record: TrialRecord) -> bool:
    return record.outcome is Outcome.STOPPED and not record.stopped_by_budget


class ASHAStopping(Scheduler):
    """Asynchronous successive halving by stopping: a trial ends at a rung where it is not among the best
    1/reduction_factor of those that reached it so far."""

    def __init__(self, rungs: Rungs, mode: Mode) -> None:
        self.rungs = rungs
        self._mode = mode

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        if not self.rungs.reached(record):
            return Decision.GO_ON
        return halve(rung_table_of(study, self.rungs, self._mode), record)

    def next_decision(
        self,
        number: int,
        depth: int,
        lengths: VirtualEpochs | None,
        num_virtual_epochs: int,
        bracket: int = 0,
    ) -> int:
        return self.rungs.next_depth(depth, lengths, num_virtual_epochs)


def halve(table: RungTable, record: TrialRecord) -> Decision:
    """Stop a trial that has just reached a rung and is not among the best 1/reduction_factor there."""
    index = table.rungs.index(record)
    last = max(1, table.num_ranked(index) // table.rungs.reduction_factor) - 1
    value = table.rungs.value_at(record, index, table.mode)
    as_good = value == table.rungs.value_at(table.at(index, last), index, table.mode)
    return Decision.GO_ON if as_good or table.rank(record, index) <= last else Decision.STOP
