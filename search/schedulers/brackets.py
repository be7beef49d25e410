"""Where each trial may pause first, by what the search itself measures of its rungs."""

from __future__ import annotations

import math

from search.config.schema import Mode
from search.schedulers.agreement import Agreement
from search.schedulers.base import Rungs
from search.study.study import SearchStudy
from search.study.trial import TrialRecord

BELIEVED = 0.5
"""Kendall's tau with the deepest rung from which on trials are stopped at a rung."""
PRIOR = 0.6
"""What tau is taken for as long as nothing is known."""
PRIOR_TRIALS = 2
"""Trials let through that count as much as that."""
_EVERY = 20
"""Of so many trials, one is let through to the deepest rung at most."""
_SHARE = 1 / 9
"""Of a long search's virtual epochs, that letting through may take."""

_FEWEST = 3
"""Trials at the deepest rung, before which nothing is known."""
_ROUNDING = 1e-9


class Brackets:
    """The bracket of each new trial, which says at which rung it may pause first.

    All trials share their rungs; one of bracket 0 may pause at each, one of bracket 1 from the second one on
    (asynchronous brackets as of Hyper-Tune, Li et al., arXiv:2201.06834, which draws them by measured
    agreement of ranks). Here one trial in twenty is let through to the deepest rung whatever its values, and
    the others begin at the first rung whose ranks agree with those there: where all do, nearly all trials
    pause at the first rung, and where a learning rate that warms up or decays has curves cross, none do.

    Args:
        rungs: where trials are compared, in virtual epochs.
        mode: whether larger or smaller is better.
        num_virtual_epochs: the full length.
        least: the bracket of trials where every rung is believed: the rungs before lie within the warm-up of
            all learning rates, see `search.schedulers.warmup`.
    """

    def __init__(self, rungs: Rungs, mode: Mode, num_virtual_epochs: int, least: int = 0) -> None:
        self.rungs, self._mode, self.least = rungs, mode, least
        self.deepest = rungs.num_below(num_virtual_epochs)
        """Index of the deepest rung below full length; 0 if there is none."""
        # From each rung one in `factor` goes on, for `factor` - 1 times as long as it has been trained.
        factor, num_pauses = rungs.reduction_factor, self.deepest - least
        first = rungs.grace_period * factor**least
        to_deepest = first * (1 + (1 - 1 / factor) * max(0, num_pauses - 1))
        deepest = first * factor ** max(0, num_pauses - 1)
        usual = to_deepest + (num_virtual_epochs - deepest) / factor**num_pauses
        self._more = deepest - to_deepest
        """Virtual epochs that a trial takes more which is let through, up to the deepest rung."""
        self._every = max(_EVERY, math.ceil(self._more / (_SHARE * usual) - _ROUNDING))

    def lets_through(self, number: int) -> bool:
        """Whether trial `number` goes on to the deepest rung whatever its values."""
        return self.deepest - self.least > 1 and number % self._every == self._every // 2

    def virtual_epochs_of(self, num_trials: int) -> int:
        """What letting through takes in a search of so many trials, as long as every rung is believed."""
        return round(self._more * sum(map(self.lets_through, range(num_trials))))

    def next(self, study: SearchStudy) -> int:
        """The bracket of the trial that begins next."""
        return self.deepest - 1 if self.lets_through(len(study.records)) else self.believed(study)

    def believed(self, study: SearchStudy) -> int:
        """The bracket of a trial that is not let through: the first whose rung is believed."""
        if self.deepest - self.least < 2:
            return self.least
        agreement = self.agreement(study)
        known = agreement.num_let_through if agreement.num_trials >= _FEWEST else 0
        for index in range(self.least + 1, self.deepest):
            tau = (agreement.tau(index) * known + PRIOR * PRIOR_TRIALS) / (known + PRIOR_TRIALS)
            if tau >= BELIEVED:
                return index - 1
        return self.deepest - 1

    def text(self, study: SearchStudy, record: TrialRecord) -> str:
        """Where a trial that has just begun pauses first, if not at the first rung; why, if it is news."""
        where = f"virtual epoch {self._rung(record.bracket)}"
        if self.lets_through(record.number):
            return f"let through to {where}"
        earlier = (r for r in reversed(study.records[: record.number]) if not self.lets_through(r.number))
        if record.bracket == next((r.bracket for r in earlier), self.least):
            return f"not to pause before {where}" if record.bracket > self.least else ""
        agreement, shallower = self.agreement(study), range(self.least + 1, self.deepest)
        rungs = ", ".join(str(self._rung(index - 1)) for index in shallower)
        taus = ", ".join(f"{agreement.tau(index):.2f}" for index in shallower)
        measured = f"ranks at {rungs} agree with those at {self._rung(self.deepest - 1)} by {taus}"
        return f"as all from now on not to pause before {where} ({measured}: Kendall's tau)"

    def _rung(self, bracket: int) -> int:
        """The virtual epoch at which a trial of that bracket pauses first."""
        return self.rungs.grace_period * self.rungs.reduction_factor**bracket

    def agreement(self, study: SearchStudy) -> Agreement:
        """Of the study's rungs."""
        return study.indexes.get(
            ("agreement", self.rungs, self._mode, self.deepest),
            lambda: Agreement(study.records, self.rungs, self._mode, self.deepest),
        )
