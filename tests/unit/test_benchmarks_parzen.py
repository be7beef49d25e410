"""The estimator of the benchmark's experiments draws as Optuna's does."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

from benchmarks.efficiency.encoding import SpaceEncoding
from benchmarks.efficiency.parzen import TPE, Parzen
from benchmarks.efficiency.problems import PROBLEMS

SPACE = {
    "a": FloatDistribution(0.0, 1.0),
    "b": CategoricalDistribution(["x", "y", "z"]),
    "c": FloatDistribution(0.0, 1.0),
}
NUM_OPTIONS = np.array([0, 3, 0])


def points(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(count), rng.integers(3, size=count), rng.random(count)], axis=1)


@pytest.mark.parametrize("count", [0, 1, 7, 24, 25, 60, 250])
def test_the_density_is_that_of_optunas_estimator(count: int) -> None:
    observed, asked = points(count), points(40, seed=1)
    options = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    columns = {name: observed[:, place] for place, name in enumerate(SPACE)}
    theirs = _ParzenEstimator(columns, dict(SPACE), options)
    expected = theirs.log_pdf({name: asked[:, place] for place, name in enumerate(SPACE)})
    assert Parzen(observed, NUM_OPTIONS).log_density(asked) == pytest.approx(expected, abs=1e-9)


def test_what_is_drawn_has_that_density() -> None:
    """The mean of one over the density of a uniform choice's draws is the volume of the space, which is 3."""
    mixture = Parzen(points(12), NUM_OPTIONS)
    drawn = mixture.sample(np.random.default_rng(0), 20_000)
    assert drawn[:, [0, 2]].min() >= 0
    assert drawn[:, [0, 2]].max() <= 1
    assert set(drawn[:, 1]) == {0.0, 1.0, 2.0}
    assert np.exp(-mixture.log_density(drawn)).mean() == pytest.approx(3.0, rel=0.05)


def test_rows_are_of_the_space_and_near_the_good_ones() -> None:
    encoding = SpaceEncoding(PROBLEMS["digits_conditional"].space)
    rng = np.random.default_rng(0)
    rows = encoding.random(rng, 60)
    ranges = (rows != -1.0) & (encoding.num_options == 0)
    first = int(np.flatnonzero(ranges.all(0))[0])
    scores = -np.abs(rows[:, first] - 0.3)
    drawn = np.stack([TPE(encoding).draw(rows, scores, rows[:0], rng) for _ in range(30)])
    assert (encoding.masked(drawn) == drawn).all()
    assert np.abs(drawn[:, first] - 0.3).mean() < 0.5 * np.abs(rows[:, first] - 0.3).mean()
