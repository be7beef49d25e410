"""No further progress: of one trial, which then ends, and of the whole search."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from search.schedulers.early_stopping import Decision, Mode, Rule
from search.study.study import Outcome, SearchStudy, TrialRecord, best_record
from trainables.data.virtual_epoch import VirtualEpochs


class EndedByPlateau:
    """A rule that also ends each trial whose objective has not become better for a while.

    A trial ends when the best of all its virtual epochs is better than the best of all but the last
    `patience` by no more than `min_delta`. Better is larger or smaller as `mode` says. So with patience 1
    and a loss to be minimized it trains while each iteration lowers the loss by more than `min_delta`: the
    loop that ends at |loss - last_loss| < epsilon, save that a loss which rises ends the trial too.
    (Comparing the distance alone would train on while the loss rises; comparing loss - last_loss > epsilon
    would end at the first fall.)

    Args:
        rule: decides everything else.
        patience: virtual epochs.
        min_delta: in units of the objective.
        ema: decay of the moving average of the objective that is looked at; 0 for the objective itself.
        mode: whether larger or smaller is better.
    """

    def __init__(self, rule: Rule, *, patience: int, min_delta: float, ema: float, mode: Mode) -> None:
        self.rule = rule
        self.rungs, self.pauses = rule.rungs, rule.pauses
        self._patience = patience
        self._min_delta = min_delta
        self._ema = ema
        self._best = max if mode == "max" else min

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        return Decision.STOP if self.has_ended(record) else self.rule.after_report(study, record)

    def has_ended(self, record: TrialRecord) -> bool:
        """Whether the trial, as far as it has come, is on a plateau."""
        if record.depth <= self._patience:
            return False
        values = smoothed(record.values, self._ema)
        return abs(self._best(values) - self._best(values[: -self._patience])) <= self._min_delta

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        return self.rule.next_promotion(study, closing=closing)

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        return self.rule.may_promote(study, num_new)

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        # Where trials would otherwise run to their full length, nobody knows how many will.
        expected = self.rule.expected_virtual_epochs(num_trials, num_virtual_epochs, lengths)
        return expected if self.pauses else None


def smoothed(values: Sequence[float], decay: float) -> list[float]:
    """Exponential moving average, its start at zero corrected as in Adam (Kingma and Ba, arXiv:1412.6980).

    m_t = decay m_(t-1) + (1 - decay) v_t with m_0 = 0, and m_t / (1 - decay^t) is returned for each t: of
    equal values, those values, from the first on.
    """
    if decay == 0.0:
        return list(values)
    averages = accumulate(values, lambda mean, value: decay * mean + (1 - decay) * value, initial=0.0)
    return [mean / (1 - decay**count) for count, mean in enumerate(averages) if count]


def is_on_plateau(study: SearchStudy, rule: Rule, *, trials: int, min_delta: float) -> bool:
    """Whether the last `trials` trials have not made the best objective better by more than `min_delta`.

    Counted are trials that have ended or paused, in the order in which they did so last; one that was
    promoted counts anew when it pauses or ends again, so that deeper training is progress too. One that
    failed by an error does not count. A pure function of the study.
    """
    settled = sorted((r for r in study.records if _is_settled(study, rule, r)), key=_settled_at)
    before = best_record(settled[:-trials], study.mode)
    now = best_record(settled, study.mode)
    if before is None or now is None:
        return False
    best_before, best_now = before.best(study.mode), now.best(study.mode)
    assert best_before is not None
    assert best_now is not None
    return abs(best_now - best_before) <= min_delta


def _is_settled(study: SearchStudy, rule: Rule, record: TrialRecord) -> bool:
    """The trial has ended, or paused; one that ended with the search counts as it was before."""
    if record.outcome is not None and not record.cut_off:
        return record.outcome is not Outcome.FAILED
    return record.depth > record.promoted and rule.after_report(study, record) is Decision.PAUSE


def _settled_at(record: TrialRecord) -> int:
    return record.reported if record.outcome is None or record.cut_off else record.order
