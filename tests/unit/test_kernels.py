"""Kernels of one width in the place of Optuna's."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

from benchmarks.efficiency.parzen import Parzen, by_count
from search.samplers.kernels import OneWidthKernels

OPTIONS = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)


def kernels(observed: dict[str, np.ndarray], space: dict[str, BaseDistribution]) -> OneWidthKernels:
    return OneWidthKernels(observed, space, OPTIONS)


@pytest.mark.parametrize("count", [0, 1, 7, 30, 250])
def test_their_density_is_that_of_scotts_rule(count: int) -> None:
    space = {"a": FloatDistribution(0, 1), "b": CategoricalDistribution("xyz"), "c": FloatDistribution(0, 1)}
    rng = np.random.default_rng(0)
    observed, asked = (np.stack([rng.random(n), rng.integers(3, size=n), rng.random(n)]) for n in (count, 40))
    found = kernels(dict(zip(space, observed, strict=True)), space).log_pdf(
        dict(zip(space, asked, strict=True))
    )
    own = Parzen(observed.T, np.array([0, 3, 0]), by_count)
    assert found == pytest.approx(own.log_density(asked.T), abs=1e-9)


@pytest.mark.parametrize(
    ("domain", "whole"),
    [
        (FloatDistribution(-2.0, 6.0), 8.0),
        (FloatDistribution(1e-4, 1.0, log=True), np.log(1e4)),
        (FloatDistribution(0.0, 1.0, step=0.25), 1.25),
        (IntDistribution(1, 8), 8.0),
        (IntDistribution(1, 64, log=True), np.log(64.5 / 0.5)),
    ],
    ids=str,
)
def test_they_are_a_share_of_the_range_as_it_is_drawn(domain: BaseDistribution, whole: float) -> None:
    observed = np.ones(60)
    (drawn,) = kernels({"a": observed}, {"a": domain})._mixture_distribution.distributions
    assert drawn.sigma == pytest.approx([0.2 * 60 ** (-1 / 5) * whole] * 60 + [whole])  # type: ignore[union-attr]
