"""What holds for all input: few examples in `make test`, always the same, many in `make test-slow`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

_COMMON = settings(
    database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
QUICK = settings(_COMMON, derandomize=True)
THOROUGH = settings(_COMMON, derandomize=False, print_blob=True)
"""Seeded anew in each run; what fails comes with the example and a line that repeats it."""


def for_all(*, examples: int, many: int, **strategies: Any) -> Callable[[Callable[..., None]], Any]:
    """Make a test of a function that is called with values drawn from these strategies.

    Args:
        examples: number of calls in `make test`.
        many: number of calls in `make test-slow`.
    """

    def decorate(holds: Callable[..., None]) -> Any:
        @pytest.mark.parametrize(
            ("profile", "number"),
            [
                pytest.param(QUICK, examples, id="few"),
                pytest.param(THOROUGH, many, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(1200)]),
            ],
        )
        def test(profile: settings, number: int) -> None:
            settings(profile, max_examples=number)(given(**strategies)(holds))()

        test.__name__, test.__doc__ = holds.__name__, holds.__doc__
        test.__module__ = holds.__module__
        return test

    return decorate
