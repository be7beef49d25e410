"""How far ranks at each rung agree with those at the deepest one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from search.config.schema import Mode
from search.schedulers.base import Rungs
from search.study.trial import NO_VERDICT, Outcome, TrialRecord, as_loss

Losses = np.ndarray
"""Of a trial at rungs 1, 2, … up to the deepest: float64 [K], smaller is better, inf for one that diverged
before."""


class Agreement:
    """Kendall's tau between each rung and the deepest one, kept up to date with the study.

    Of the pairs that differ at the deepest rung, the share that is ordered alike at both rungs, less the
    share that is ordered otherwise. Pairs of trials that came there whatever their values count twice, and
    those of one of them with a promoted one once, so that few trials let through say much. Pairs of promoted
    ones do not: they were selected by the very ranks that are judged.

    Args:
        records: the trials; `update` is called with every later change.
        rungs: where trials are compared.
        mode: whether larger or smaller is better.
        deepest: index of the deepest rung below full length, from 1.
    """

    def __init__(self, records: Sequence[TrialRecord], rungs: Rungs, mode: Mode, deepest: int) -> None:
        self._rungs, self._mode, self._deepest = rungs, mode, deepest
        self._alike = np.zeros(deepest)
        """At each rung: pairs ordered alike, less those ordered otherwise; twice if both were let through."""
        self._pairs = 0.0
        """Pairs that differ at the deepest rung, counted alike."""
        self._known: dict[int, tuple[Losses, bool]] = {}
        """By number: what the trial had, and whether it was let through."""
        for record in records:
            self.update(record)

    @property
    def num_trials(self) -> int:
        """Trials at the deepest rung."""
        return len(self._known)

    @property
    def num_let_through(self) -> float:
        """Trials at the deepest rung that came there whatever their values; fewer where some are equal there.

        One that differs from a half of the others counts as half of a trial.
        """
        return self._pairs / (len(self._known) - 1) if len(self._known) > 1 else 0.0

    def tau(self, index: int) -> float:
        """Between rung `index` and the deepest; 0 where nothing is known."""
        return float(self._alike[index - 1]) / self._pairs if self._pairs else 0.0

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        old, new = self._known.get(record.number), self._of(record)
        if old is not None and new is not None and old[1] == new[1] and np.array_equal(old[0], new[0]):
            return
        if old is not None:
            del self._known[record.number]
            self._count(*old, sign=-1)
        if new is not None:
            self._count(*new, sign=1)
            self._known[record.number] = new

    def _count(self, losses: Losses, let_through: bool, *, sign: int) -> None:
        """A trial comes to those that are known, or has left them."""
        if not self._known:
            return
        others = np.stack([other for other, _ in self._known.values()])
        order = (others > losses).astype(float) - (others < losses)
        weights = np.array([float(flag) + let_through for _, flag in self._known.values()])
        self._alike += sign * (weights @ (order * order[:, -1:]))
        self._pairs += sign * float(weights @ np.abs(order[:, -1]))

    def _of(self, record: TrialRecord) -> tuple[Losses, bool] | None:
        diverged = record.outcome is Outcome.DIVERGED
        index = self._rungs.index(record)
        if record.of_other_data or record.outcome in NO_VERDICT or not index:
            return None
        if index < self._deepest and not diverged:
            return None
        losses = np.full(self._deepest, math.inf)
        for at in range(1, min(index, self._deepest) + 1):
            value = self._rungs.value_at(record, at, self._mode)
            assert value is not None
            losses[at - 1] = as_loss(value, self._mode)
        return losses, record.audited or record.bracket >= self._deepest - 1
