"""Values of a stepped range: exact multiples, whatever floats make of them on the way."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import assume
from hypothesis import strategies as st
from optuna.samplers import RandomSampler
from properties import for_all

from search.space.domains import Real
from search.space.parse import read_space
from search.study.in_memory import PendingTrial

LONG_STEP = [-9999240760823.13, 0.0, 1.5244550925615141]
"""Its multiples have 30 digits."""
FAR_FROM_ZERO = [-1240694307631, 0.0, 1.77]
"""A float near its lower bound has a resolution of 0.00024."""


def quniform(arguments: list[float]) -> Real | None:
    space, problems = read_space({"x": {"quniform": arguments}})
    if problems:
        return None
    domain: Any = space.root.get("x")  # type: ignore[union-attr]
    return domain


def recorded(domain: Real, index: int) -> float:
    """What Optuna's samplers compute for a multiple of the step."""
    assert domain.step is not None
    return min(max(index * domain.step + domain.low, domain.low), domain.high)


@pytest.mark.parametrize("arguments", [LONG_STEP, FAR_FROM_ZERO])
@pytest.mark.parametrize("from_end", [1, 2, 3, 6])
def test_a_value_near_zero_of_a_range_that_begins_far_away_is_the_exact_multiple_and_in_the_range(
    arguments: list[float], from_end: int
) -> None:
    domain = quniform(arguments)
    assert domain is not None
    index = (domain.num_values() or 0) - from_end
    with localcontext(prec=100):
        exact = float(Decimal(repr(float(arguments[0]))) + index * Decimal(repr(arguments[2])))
    value = recorded(domain, index)
    assert domain.rounded(value) == exact
    assert domain.contains(exact)
    assert domain.contains(value)


@pytest.mark.parametrize(
    "arguments",
    [
        [0.1, 0.9, 0.1],
        [3.92, 16.681480900182542, 1.8230687000260772],
        [523, 552.4415039448971, 1.6765547446994908],
        [-7.716187086159801, -7.660104259543252, 0.003133150574428041],
    ],
)
def test_every_value_of_a_stepped_range_can_be_drawn(arguments: list[float]) -> None:
    domain = quniform(arguments)
    assert domain is not None
    trials = (PendingTrial(seed, {}, RandomSampler(seed=seed)) for seed in range(300))
    assert {domain.suggest(trial) for trial in trials} == set(domain.values() or [])


@for_all(
    examples=100,
    many=3000,
    low=st.one_of(
        st.integers(-(2**53), 2**53), st.floats(-1e13, 1e13), st.decimals(-5, 5, places=2).map(float)
    ),
    width=st.floats(1e-3, 1e13),
    step=st.one_of(st.integers(1, 9), st.floats(1e-3, 3), st.decimals("0.01", 2, places=2).map(float)),
    place=st.floats(0, 1),
)
def test_what_optuna_records_is_in_the_range(low: float, width: float, step: float, place: float) -> None:
    domain = quniform([low, float(low + width), step])
    assume(domain is not None)
    assert domain is not None
    index = round(place * ((domain.num_values() or 0) - 1))
    value = recorded(domain, index)
    assert domain.rounded(value) == domain.at(index)
    assert domain.contains(value)
    assert domain.contains(domain.at(index))
    assert domain.step is not None
    assert not domain.contains(domain.at(index) + 0.4 * domain.step) or abs(value) > 1e12 * domain.step


def test_what_is_no_number_or_lies_beyond_is_not_in_the_range() -> None:
    domain = quniform([0.1, 0.9, 0.4])
    assert domain is not None
    assert [domain.contains(value) for value in (0.1, 0.5, 0.9)] == [True] * 3
    for value in (True, "0.1", None, float("nan"), float("inf"), 10**400, -0.3, 0.3, 1.3):
        assert not domain.contains(value)
