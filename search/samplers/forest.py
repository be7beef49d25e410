"""Draws new trials from a model of the trials so far: one randomized tree on their halving scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from search.samplers.encoding import SpaceEncoding

NUM_CANDIDATES = 512
_MIN_SHARE, _FIRST_SHARE = 0.1, 0.25
"""Of trials that are drawn from the space as it is: in the long run, and when the model comes into use."""
_TOP_SHARE, _MIN_TOP = 0.1, 3
"""Of the trials near which candidates are drawn."""
_DEVIATION, _SWITCH = 0.1, 0.15
_MIN_LEAF = 2


class ForestSampler(BaseSampler):
    """Model-based search as SMAC does it (Hutter et al., 2011), made for early stopping and for many workers.

    The values to be learned are halving scores, so trials of every depth say something, and their scale does
    not matter. For each new trial one extremely randomized tree (Geurts et al., 2006) is grown on a bootstrap
    sample of the trials, and the best of many candidates by that tree alone is taken. A tree of its own for
    each trial is a draw from what the forest holds possible (Thompson sampling), so trials that run side by
    side differ without being told of one another. Half of the candidates come from anywhere, half from near
    the best trials.

    Some trials are drawn from the space as it is, fewer as more is known, but always some: the model cannot
    lead the whole search astray.

    Args:
        encoding: of the space.
        seed: of this trial's draws.
        startup_trials: trials that must have a score before the model is used.
    """

    def __init__(self, encoding: SpaceEncoding, seed: int, *, startup_trials: int) -> None:
        self._encoding = encoding
        self._rng = np.random.default_rng(seed)
        self._startup_trials = startup_trials

    def infer_relative_search_space(
        self, study: Any, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:  # all is drawn at once, by what the space says
        return {}

    def sample_relative(
        self, study: Any, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._encoding.params(self._draw(study.get_trials(False, (TrialState.COMPLETE,))))

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What a known point has left open and the draw has not, as in another option of a choice."""
        sampler = RandomSampler(seed=int(self._rng.integers(2**31)))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _draw(self, scored: list[FrozenTrial]) -> np.ndarray:
        count = len(scored)
        if (
            not self._encoding.num_columns
            or count < max(2, self._startup_trials)
            or self._rng.random() < self._random_share(count)
        ):
            return self._encoding.random(self._rng, 1)[0]
        rows = self._encoding.rows([trial.params for trial in scored])
        scores = np.asarray([trial.value for trial in scored])
        candidates = self._candidates(rows, scores)
        predicted = self._predict(rows, scores, candidates)
        return candidates[self._rng.choice(np.flatnonzero(predicted == predicted.max()))]

    def _random_share(self, count: int) -> float:
        return max(_MIN_SHARE, _FIRST_SHARE * (max(1, self._startup_trials) / count) ** 0.5)

    def _predict(self, rows: np.ndarray, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        from sklearn.tree import ExtraTreeRegressor  # half a second that only this sampler needs

        tree = ExtraTreeRegressor(
            min_samples_leaf=_MIN_LEAF, max_features=1.0, random_state=int(self._rng.integers(2**31))
        )
        picked = self._rng.integers(0, len(rows), len(rows))
        return tree.fit(rows[picked], scores[picked]).predict(candidates)

    def _candidates(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Rows from anywhere and from near the best trials: float64 [N, D], N about NUM_CANDIDATES."""
        best = np.argsort(-scores, kind="stable")[: max(_MIN_TOP, int(_TOP_SHARE * len(rows)))]
        near = [
            self._encoding.neighbours(
                rows[place],
                self._rng,
                max(1, NUM_CANDIDATES // 2 // len(best)),
                deviation=_DEVIATION * float(np.exp(self._rng.uniform(-1.0, 1.0))),
                switch=_SWITCH,
            )
            for place in best
        ]
        return np.concatenate([self._encoding.random(self._rng, NUM_CANDIDATES // 2), *near])
