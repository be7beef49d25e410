"""What a scheduler is, and the rungs at which trials are compared.

Schedulers keep no state: which trials continue is a pure function of the study's values, so that a restart
decides alike.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum

from search.config.schema import Axis, Mode
from search.study.study import SearchStudy
from search.study.trial import TakenOver, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs


class Decision(Enum):
    """What happens to a trial after a report."""

    GO_ON = "go on"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class Rungs:
    """Amounts of training at which trials are compared: grace_period, grace_period * reduction_factor, …

    `axis` is what is counted: virtual epochs, optimizer steps or samples. Rung indices count from 1; index 0
    is that of a trial that has reached no rung.
    """

    grace_period: int = 1
    reduction_factor: int = 3
    axis: Axis = "virtual_epochs"

    def index(self, record: TrialRecord, depth: int | None = None) -> int:
        """Index of the deepest rung reached within the first `depth` virtual epochs (default: all)."""
        amount = self._amount(record, record.depth if depth is None else depth)
        index, rung = 0, self.grace_period
        while amount >= rung:
            index, rung = index + 1, rung * self.reduction_factor
        return index

    def reached(self, record: TrialRecord) -> bool:
        """Whether the last report reached a rung that the one before it had not."""
        return record.depth > 0 and self.index(record) > self.index(record, record.depth - 1)

    def pauses(self, record: TrialRecord) -> bool:
        """Whether the last report reached a rung that the trial does not pass without a pause."""
        return self.reached(record) and self.index(record) > record.bracket

    def next_depth(
        self, depth: int, lengths: VirtualEpochs | None, num_virtual_epochs: int, first: int = 1
    ) -> int:
        """The virtual epoch after `depth` that reaches the next rung, or the full length if that comes first.

        The full length too where the rungs are on another axis and no lengths are known.

        Args:
            depth: virtual epochs that the trial has come.
            lengths: of the trial's virtual epochs.
            num_virtual_epochs: the full length.
            first: index of the first rung that counts.
        """
        if self.axis != "virtual_epochs" and lengths is None:
            return num_virtual_epochs
        amount = amount_of(self.axis, lengths, depth)
        rung = self.grace_period * self.reduction_factor ** (first - 1)
        while rung <= amount:
            rung *= self.reduction_factor
        depths = range(depth + 1, num_virtual_epochs)
        place = bisect_left(depths, rung, key=lambda later: amount_of(self.axis, lengths, later))
        return depth + 1 + place

    def value_at(self, record: TrialRecord, index: int, mode: Mode) -> float | None:
        """Best objective up to the report that reached a rung; None if the trial has not reached it."""
        depth = self.depth_at(record, index)
        return None if depth is None else record.best(mode, depth)

    def depth_at(self, record: TrialRecord, index: int) -> int | None:
        """The virtual epoch whose report reached a rung; None if the trial has not reached it."""
        rung = self.grace_period * self.reduction_factor ** (index - 1)
        depths = range(1, record.depth + 1)
        first = bisect_left(depths, rung, key=lambda depth: self._amount(record, depth))
        return depths[first] if first < len(depths) else None

    def describe(
        self, num_virtual_epochs: int, lengths: VirtualEpochs | None = None, bracket: int = 0
    ) -> str:
        """The rungs that a trial of full length pauses at, as text: `1, 3, 9`.

        Args:
            num_virtual_epochs: the full length.
            lengths: lengths of a trial's virtual epochs, needed for another axis.
            bracket: number of rungs that it passes.
        """
        first = self.grace_period * self.reduction_factor**bracket
        if self.axis != "virtual_epochs" and lengths is None:
            return f"{first}, {first * self.reduction_factor}, …"
        limit = amount_of(self.axis, lengths, num_virtual_epochs)
        rungs: list[str] = []
        rung = first
        while rung < limit and len(rungs) < 8:
            rungs.append(str(rung))
            rung *= self.reduction_factor
        return ", ".join(rungs) or "none"

    def num_below(self, amount: float) -> int:
        """Number of rungs before that amount, in units of the axis."""
        number, rung = 0, self.grace_period
        while rung < amount:
            number, rung = number + 1, rung * self.reduction_factor
        return number

    def _amount(self, record: TrialRecord, depth: int) -> int:
        return amount_of(self.axis, record.lengths, depth)


def amount_of(axis: Axis, lengths: VirtualEpochs | None, depth: int) -> int:
    """What `depth` virtual epochs are on the axis."""
    if axis == "virtual_epochs" or depth == 0:
        return depth
    assert lengths is not None
    return lengths.end_step(depth) if axis == "steps" else lengths.samples_at(depth)


class Scheduler:
    """How a search ends trials early; this base ends none.

    A scheduler decides after each report of a trial (`after_report`) and, if it pauses trials, chooses the
    paused trial that continues next (`next_promotion`).
    """

    rungs: Rungs = Rungs()
    first_bracket: int = 0
    """Rungs that no trial pauses at, as long as nothing else is measured."""
    """At which trials of different depth are compared, also by schedulers that stop by other means."""
    pauses: bool = False
    """Trials pause at rungs, and some are promoted from there."""

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        return Decision.GO_ON

    def next_bracket(self, study: SearchStudy) -> int:
        """`TrialRecord.bracket` of the trial that begins next."""
        return 0

    def earned(self, study: SearchStudy, record: TrialRecord) -> int | None:
        """Index of the rung as of which samplers learn from a trial; None: from as far as it has come."""
        return None

    def rungs_of(self, number: int) -> Rungs:
        """The rungs at which a trial is compared, by its number."""
        return self.rungs

    def is_rival(self, number: int, other: int) -> bool:
        """Whether two trials are compared with each other, by their numbers."""
        return True

    def bracket_text(self, study: SearchStudy, record: TrialRecord) -> str:
        """Where a new trial pauses first and why, if that is not the first rung."""
        return ""

    def next_decision(
        self,
        number: int,
        depth: int,
        lengths: VirtualEpochs | None,
        num_virtual_epochs: int,
        bracket: int = 0,
    ) -> int:
        """The virtual epoch up to which a trial trains on from `depth`, unless it is ended early.

        Args:
            number: of the trial.
            depth: virtual epochs that it has come.
            lengths: of its virtual epochs; None where they are not known yet.
            num_virtual_epochs: the full length.
            bracket: of the trial.
        """
        return num_virtual_epochs

    def decision(self, study: SearchStudy, record: TrialRecord) -> Decision:
        """`after_report`, unless the trial is let through whatever its values."""
        return Decision.GO_ON if record.audited else self.after_report(study, record)

    def stop_reason(self, record: TrialRecord) -> str:
        """Why `after_report` decided STOP."""
        return f"stopped at virtual epoch {record.depth}"

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        """The paused trial that continues next; `closing` means that no new trial will begin."""
        return None

    def taken_over(self, study: SearchStudy, record: TrialRecord) -> TakenOver | None:
        """What a paused trial continues from if not from its own checkpoint."""
        return None

    def most_waiting(self, num_trials: int) -> int:
        """The most of so many trials that wait to continue at a time, and keep their checkpoints for that."""
        return math.ceil(num_trials / self.rungs.reduction_factor) if self.pauses else 0

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        """Paused trials that may still be promoted if at most `num_new` trials are yet to begin."""
        return []

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        """Virtual epochs that a whole search should take; None where that is unknown.

        Args:
            num_trials: trials of the search.
            num_virtual_epochs: the full length.
            lengths: lengths of a typical trial's virtual epochs, for rungs on another axis.
        """
        return None


class NoScheduler(Scheduler):
    """Every trial runs to its full length."""

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        return num_trials * num_virtual_epochs
