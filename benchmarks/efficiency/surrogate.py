"""A problem as a surrogate: a random forest fitted to recorded learning curves, and the noise of the curves.

    python -m benchmarks.efficiency.surrogate        how well each forest fits, and how noisy its problem is

Any configuration has a curve of its own, so that a search that narrows in is rewarded for it. The forest's
prediction is the noise-free curve. What a trial reports is that curve and noise: how one recorded training
of a configuration that does about as well, and was repeated with other seeds, differs from the median of
these. So noise has its real shape, as where one seed in five fails. The difference is a factor of the
distance to a value a little beyond the best that was recorded: added to the value itself, it would give
trials near the best values that no training has.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from benchmarks.efficiency.encoding import SpaceEncoding
from benchmarks.efficiency.problems import LENGTH, PROBLEMS, Problem
from benchmarks.efficiency.recorded import Kind, Recorded, bounded

NUM_TREES = 100
MIN_CURVES = 200
"""Fewer do not make a surrogate."""
MIN_REPEATED = 10
"""Repeated configurations, each trained at least three times, that the noise is estimated from."""
_NUM_SIMILAR = 5
"""Repeated configurations of similar curves, one of which gives a trial its noise."""
_SMALL = 1e-3
"""Least distance to the ideal, as a share of that of the worst value."""
_NUM_CANDIDATES, _NUM_CLIMBS, _NUM_BEST = 20_000, 12, 20


@dataclass(frozen=True)
class Fit:
    """How well the forest predicts what it has not seen, and the noise, in the unit of the metric."""

    num_curves: int
    num_random: int
    num_repeats: int
    r2: float
    """Share of the variance at full length that is explained, out of bag."""
    error: float
    """Median absolute error of the value at full length, out of bag."""
    between: float
    """Median standard deviation between seeds of the level of the last third of a curve."""
    within: float
    """Median standard deviation within a curve, around that level, in its last third."""
    recorded_best: float
    """What one random configuration in twenty reached at its best when it was trained."""
    simulated_best: float
    """What one in twenty of the same reports at its best, predicted out of bag, with noise."""


class NotEnoughCurvesError(Exception):
    """Too little of a problem is recorded for a surrogate."""


class Surrogate:
    """One problem that methods search.

    Raises:
        NotEnoughCurvesError: too little is recorded.
    """

    def __init__(self, problem: Problem, recorded: Recorded | None = None) -> None:
        recorded = Recorded.load(problem) if recorded is None else recorded
        self.problem, self.encoding = problem, SpaceEncoding(problem.space)
        rows = recorded.rows(Kind.RANDOM, Kind.NEAR)
        self._values = bounded(recorded.values[rows], problem)
        self._params = [recorded.params[row] for row in rows]
        self._is_random = recorded.kinds[rows] == Kind.RANDOM
        self._num_random = int(self._is_random.sum())
        groups = _groups(recorded, problem)
        if self._num_random < MIN_CURVES or len(groups) < MIN_REPEATED:
            raise NotEnoughCurvesError(
                f"{problem.name}: {self._num_random} random configurations and {len(groups)} repeated ones "
                f"are recorded; a surrogate needs at least {MIN_CURVES} and {MIN_REPEATED}: "
                f"python -m benchmarks.efficiency.record_curves {problem.name}"
            )
        self._num_repeats = recorded.count(Kind.REPEAT)
        self._groups, self._medians = groups, np.stack([np.median(group, 0) for group in groups])
        self._ideal = _ideal(bounded(recorded.values, problem), problem)
        self._residuals = [
            self._log_distance(group) - self._log_distance(np.median(group, 0)) for group in groups
        ]
        self._forest = RandomForestRegressor(
            NUM_TREES, min_samples_leaf=2, max_features=0.5, oob_score=True, random_state=0
        )
        self._inputs = self._encoded(self.encoding.rows(self._params))
        self._forest.fit(self._inputs, self._values)
        self._trees = [tree.tree_ for tree in self._forest.estimators_]

    @property
    def sign(self) -> float:
        return self.problem.sign

    def curve(self, params: Mapping[str, Any]) -> np.ndarray:
        """The noise-free metric after each virtual epoch: float64 [LENGTH]."""
        return self.curve_of_row(self.encoding.row(params))

    def curve_of_row(self, row: np.ndarray) -> np.ndarray:
        """As `curve`, of a row of the encoding [D]."""
        inputs = self._encoded(row[None]).astype(np.float32)
        return np.mean([tree.predict(inputs)[0, :, 0] for tree in self._trees], 0)

    def reported(self, curve: np.ndarray, *, seed: int, trial: int) -> np.ndarray:
        """What trial `trial` of search `seed` reports of this noise-free curve: float64 [LENGTH]."""
        rng = np.random.default_rng((seed, trial, 1))
        distances = np.square(self._medians - curve).sum(1)
        similar = self._residuals[rng.choice(np.argsort(distances, kind="stable")[:_NUM_SIMILAR])]
        factor = np.exp(similar[rng.integers(len(similar))])
        return bounded(self._ideal - (self._ideal - curve) * factor, self.problem)

    def _log_distance(self, values: np.ndarray) -> np.ndarray:
        """Logarithm of how far the values are from the ideal."""
        distance = self.sign * (self._ideal - values)
        return np.log(np.maximum(distance, _SMALL * abs(self._ideal - self.problem.worst)))

    def regret(self, value: float) -> float:
        """What is lost against the best, in percent of the way from the median to it.

        The median is that of the random configurations that are recorded, and the best the best known, both
        as noise-free values, each the best of its curve.
        """
        return 100 * (self.best - value) / (self.best - self.median)

    @cached_property
    def median(self) -> float:
        curves = self._forest.predict(self._inputs[self._is_random])
        return self.sign * float(np.median((self.sign * curves).max(1)))

    @cached_property
    def best(self) -> float:
        """The best that is known: of the recorded, of random ones, and of steps from the best of these."""
        rng = np.random.default_rng(0)
        rows = np.concatenate([self.encoding.rows(self._params), self.encoding.random(rng, _NUM_CANDIDATES)])
        values = self.best_values(rows)
        for climb in range(_NUM_CLIMBS):
            top = np.argsort(-values, kind="stable")[:_NUM_BEST]
            near = [
                self.encoding.neighbours(rows[place], rng, 100, deviation=0.2 * 0.75**climb, switch=0.1)
                for place in top
            ]
            rows = np.concatenate([rows[top], *near])
            values = self.best_values(rows)
        return self.sign * float(values.max())

    @cached_property
    def fit(self) -> Fit:
        predicted, last = self._forest.oob_prediction_[:, -1], self._values[:, -1]
        third = slice(LENGTH - LENGTH // 3, None)
        between, within = [], []
        for group in self._groups:
            level = group[:, third].mean(1)
            between.append(level.std(ddof=1))
            shape = group[:, third] - level[:, None]
            within.append(np.sqrt(np.square(shape - shape.mean(0)).sum() / (shape.size - shape.shape[1])))
        return Fit(
            num_curves=len(self._params) + self._num_repeats,
            num_random=self._num_random,
            num_repeats=self._num_repeats,
            r2=1 - float(np.square(predicted - last).mean() / last.var()),
            error=float(np.median(np.abs(predicted - last))),
            between=float(np.median(between)),
            within=float(np.median(within)),
            recorded_best=self._best_in_twenty(self._values[self._is_random]),
            simulated_best=self._best_in_twenty(
                np.stack(
                    [
                        self.reported(curve, seed=0, trial=trial)
                        for trial, curve in enumerate(self._forest.oob_prediction_[self._is_random])
                    ]
                )
            ),
        )

    def _best_in_twenty(self, curves: np.ndarray) -> float:
        return self.sign * float(np.quantile((self.sign * curves).max(1), 0.95))

    def describe(self) -> str:
        """One line: what it rests on, its error and its noise."""
        fit, wanted = self.fit, self.problem.num_random
        part = "" if fit.num_random >= wanted else f", {fit.num_random} of {wanted} random ones so far"
        scale = abs(self.best - self.median)
        return (
            f"{self.problem.name}: {fit.num_curves} curves{part}; {self.problem.metric} of the median "
            f"{self.median:.4g}, best {self.best:.4g}; out of bag R2 {fit.r2:.2f}, error {fit.error:.3g} "
            f"({100 * fit.error / scale:.0f} %); noise between seeds {fit.between:.3g} "
            f"({100 * fit.between / scale:.0f} %), within a curve {fit.within:.3g} "
            f"({100 * fit.within / scale:.0f} %); one in twenty reported {fit.recorded_best:.4g}, "
            f"and reports {fit.simulated_best:.4g}"
        )

    def best_values(self, rows: np.ndarray) -> np.ndarray:
        """The best of each noise-free curve, times the sign, of the encoding's rows [N, D]: float64 [N]."""
        return (self.sign * self._forest.predict(self._encoded(rows))).max(1)

    def _encoded(self, rows: np.ndarray) -> np.ndarray:
        """The encoding's rows for trees: a choice among unordered options as a column for each option."""
        parts = []
        for column, count in enumerate(self.encoding.num_options):
            values = rows[:, column : column + 1]
            parts.append(values)
            if count > 2:
                parts.append((values == np.arange(count)).astype(np.float64))
        return np.concatenate(parts, 1)


def _ideal(values: np.ndarray, problem: Problem) -> float:
    """A little beyond the best recorded value: a tenth of its distance from the median of all curves."""
    best = (problem.sign * values).max(1)
    return problem.sign * float(best.max() + 0.1 * (best.max() - np.median(best)))


def _groups(recorded: Recorded, problem: Problem) -> list[np.ndarray]:
    """Curves of each configuration that was trained at least three times: float64 [seeds, LENGTH] each."""
    values, by_params = bounded(recorded.values, problem), dict[str, list[int]]()
    for row in recorded.rows(Kind.RANDOM, Kind.REPEAT):
        by_params.setdefault(json.dumps(recorded.params[row], sort_keys=True), []).append(row)
    return [values[rows] for rows in by_params.values() if len(rows) >= 3]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problems", nargs="*", metavar="NAME", help=f"of {', '.join(PROBLEMS)}; default all")
    for name in parser.parse_args().problems or PROBLEMS:
        try:
            print(Surrogate(PROBLEMS[name]).describe(), flush=True)
        except NotEnoughCurvesError as error:
            print(error, flush=True)


if __name__ == "__main__":
    main()
