"""Points that trials take before the sampler gives any: those of a configuration, or of its grid."""

from __future__ import annotations

from collections.abc import Sequence

from search.config.config import Config
from search.config.sections.budget import Budget
from search.study.trial import Point, TrialRecord, untried


class Points:
    """The points of a search that no trial has taken yet, in order."""

    def __init__(self, config: Config, records: Sequence[TrialRecord]) -> None:
        self._is_grid = config.sampler.name == "grid"
        points = config.space.grid() if self._is_grid else config.points_to_evaluate
        self._left = {frozenset(point.items()): point for point in untried(points, records)}
        self._num_trials = len(records) + len(self._left)

    @property
    def next(self) -> Point | None:
        """What the next trial takes; None if nothing is left."""
        return next(iter(self._left.values()), None)

    def take(self, record: TrialRecord) -> None:
        """A trial has taken the point that it was given, and any that it equals by chance."""
        for params in (record.known or {}, record.params):
            self._left.pop(frozenset(params.items()), None)

    def limited(self, budget: Budget) -> Budget:
        """The budget; a grid ends with its last point."""
        if not self._is_grid:
            return budget
        trials = self._num_trials if budget.trials is None else min(budget.trials, self._num_trials)
        return budget.model_copy(update={"trials": trials})
