"""No further progress: of one trial, which then ends, and of the whole search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

from search.config.schema import Mode, Plateau
from search.config.sections.budget import SearchPlateau
from search.schedulers.base import Decision, Scheduler
from search.study.study import SearchStudy
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord, as_loss
from trainables.data.virtual_epoch import VirtualEpochs


class PlateauStopping(Scheduler):
    """Another scheduler that also ends each trial whose objective no longer improves.

    A trial ends when the best of all its virtual epochs improves on the best of all but the last `patience`
    by no more than `min_delta`. With patience 1 and a loss it trains while each iteration lowers the loss by
    more than `min_delta`: the loop that ends at |loss - last_loss| < epsilon, except that a rising loss ends
    the trial too.

    Args:
        scheduler: decides everything else.
        options: the section `plateau:`.
        mode: whether larger or smaller is better.
    """

    def __init__(self, scheduler: Scheduler, options: Plateau, mode: Mode) -> None:
        self.scheduler = scheduler
        self.rungs, self.pauses = scheduler.rungs, scheduler.pauses
        self._options = options
        self._best = max if mode == "max" else min

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        if self._is_on_plateau(record):
            return Decision.STOP
        return self.scheduler.after_report(study, record)

    def stop_reason(self, record: TrialRecord) -> str:
        reason = self.scheduler.stop_reason(record)
        if not self._is_on_plateau(record):
            return reason
        options = self._options
        what = "its average" if options.ema else "its best"
        epochs = "virtual epoch" if options.patience == 1 else f"{options.patience} virtual epochs"
        by = f"by more than {options.min_delta:g} " if options.min_delta else ""
        return f"{reason}: on a plateau ({what} did not improve {by}in the last {epochs})"

    def _is_on_plateau(self, record: TrialRecord) -> bool:
        options = self._options
        if record.depth <= options.patience:
            return False
        values = smoothed(record.values, options.ema)
        return abs(self._best(values) - self._best(values[: -options.patience])) <= options.min_delta

    def next_decision(
        self,
        number: int,
        depth: int,
        lengths: VirtualEpochs | None,
        num_virtual_epochs: int,
        bracket: int = 0,
    ) -> int:
        return self.scheduler.next_decision(number, depth, lengths, num_virtual_epochs, bracket)

    def next_bracket(self, study: SearchStudy) -> int:
        return self.scheduler.next_bracket(study)

    def earned(self, study: SearchStudy, record: TrialRecord) -> int | None:
        return self.scheduler.earned(study, record)

    def bracket_text(self, study: SearchStudy, record: TrialRecord) -> str:
        return self.scheduler.bracket_text(study, record)

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        return self.scheduler.next_promotion(study, closing=closing)

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        return self.scheduler.may_promote(study, num_new)

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        # Unknown where trials would otherwise run to their full length.
        expected = self.scheduler.expected_virtual_epochs(num_trials, num_virtual_epochs, lengths)
        return expected if self.pauses else None


def smoothed(values: Sequence[float], decay: float) -> list[float]:
    """Exponential moving average, its start at zero corrected as in Adam (Kingma and Ba, arXiv:1412.6980).

    m_t = decay m_(t-1) + (1 - decay) v_t with m_0 = 0; m_t / (1 - decay^t) is returned for each t.
    """
    if decay == 0.0:
        return list(values)
    averages = accumulate(values, lambda mean, value: decay * mean + (1 - decay) * value, initial=0.0)
    return [mean / (1 - decay**count) for count, mean in enumerate(averages) if count]


def ended_on_plateau(study: SearchStudy, scheduler: Scheduler, plateau: SearchPlateau) -> str | None:
    """Why the search ends on its plateau, which is recorded, as trials that still run may move the best."""
    asked = plateau.model_dump()
    if not (study.has_ended_on(asked) or is_on_plateau(study, scheduler, **asked)):
        return None
    study.end_on(asked)
    return "the best has not moved by more than {min_delta:g} in {trials} trials".format(**asked)


def is_on_plateau(study: SearchStudy, scheduler: Scheduler, *, trials: int, min_delta: float) -> bool:
    """Whether the last `trials` trials improved the best objective by no more than `min_delta`.

    Trials count once they ended or paused, in the order in which they last did so; a promoted one counts anew
    when it pauses or ends again, so that deeper training is progress too. Failed trials do not count. A pure
    function of the study.
    """
    settled = study.indexes.get(("settled", scheduler), lambda: _Settled(study, scheduler))
    return settled.gain_of_last(trials) <= min_delta


class _Settled:
    """Trials that have ended or paused; kept up to date with the study."""

    def __init__(self, study: SearchStudy, scheduler: Scheduler) -> None:
        self._study, self._scheduler = study, scheduler
        self._losses: dict[int, tuple[int, float]] = {}
        """By number: when it last ended or paused, and its best mean as a loss (inf if none)."""
        for record in study.records:
            self.update(record)

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        self._losses.pop(record.number, None)
        if self._is_settled(record):
            mean = None if record.outcome in BROKEN_OFF else record.mean(self._study.mode)
            loss = math.inf if mean is None else as_loss(mean, self._study.mode)
            at = record.last_report if record.outcome is None or record.stopped_by_budget else record.sequence
            self._losses[record.number] = at, loss

    def gain_of_last(self, trials: int) -> float:
        """By how much the last `trials` trials improved the best; inf if there was none before."""
        losses = [loss for _, loss in sorted(self._losses.values())]
        before = min(losses[:-trials], default=math.inf)
        return math.inf if before == math.inf else before - min(losses)

    def _is_settled(self, record: TrialRecord) -> bool:
        """The trial ended or paused; one that ended with the search counts as it did before."""
        if record.of_other_data:
            return False
        if record.outcome is not None and not record.stopped_by_budget:
            return record.outcome not in (Outcome.FAILED, Outcome.OVER_LIMIT)
        paused = record.depth > record.promoted_at
        return paused and self._scheduler.decision(self._study, record) is Decision.PAUSE
