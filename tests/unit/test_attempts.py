from __future__ import annotations

import pytest

from search.run.limits import FailedAlike, failed_as, may_retry
from search.study.trial import Outcome
from trainables.process.failure import Failure, FailureKind

ERROR, DIED, HUNG, MEMORY, GPU = (
    FailureKind.ERROR,
    FailureKind.DIED,
    FailureKind.HUNG,
    FailureKind.MEMORY,
    FailureKind.GPU_MEMORY,
)


@pytest.mark.parametrize(
    ("kinds", "max_failures", "expected"),
    [
        ([ERROR], 0, False),
        ([ERROR], 2, True),
        ([ERROR, DIED], 2, True),
        ([ERROR, DIED, ERROR], 2, False),
        ([FailureKind.LASTING], 5, False),
        ([FailureKind.PASSING] * 2, 2, True),
        ([FailureKind.PASSING] * 3, 2, False),
        ([HUNG], 2, True),
        ([HUNG, HUNG], 5, False),
        ([HUNG, ERROR], 5, True),
        ([HUNG], 0, False),
        ([MEMORY], 2, True),
        ([MEMORY, ERROR, MEMORY], 5, False),
        ([GPU], 5, False),
        ([ERROR, GPU], 5, False),
    ],
)
def test_what_is_tried_again(kinds: list[FailureKind], max_failures: int, expected: bool) -> None:
    failures = [Failure(kind, f"why {number}") for number, kind in enumerate(kinds)]
    assert may_retry(failures, max_failures) is expected


@pytest.mark.parametrize(("kind", "expected"), [(ERROR, False), (FailureKind.PASSING, True), (DIED, True)])
def test_an_exception_with_the_same_text_twice_comes_again(kind: FailureKind, expected: bool) -> None:
    first, other = Failure(kind, "why"), Failure(kind, "other")
    assert may_retry([first, first], 5) is expected
    assert may_retry([first, other], 5)


@pytest.mark.parametrize("kind", FailureKind)
def test_out_of_memory_is_an_end_of_its_own(kind: FailureKind) -> None:
    expected = Outcome.OUT_OF_MEMORY if kind in (MEMORY, GPU) else Outcome.FAILED
    assert failed_as(Failure(kind, "why")) == (expected, "why")


def count(*events: tuple[str, int] | int) -> int:
    """After failures (cause, depth), and virtual epochs that others came to the end of."""
    alike = FailedAlike()
    for event in events:
        if isinstance(event, int):
            alike.survived(event)
        else:
            alike.add(*event)
    return alike.count


def test_causes_that_differ_in_numbers_and_addresses_only_are_alike() -> None:
    causes = ("step 120: <T at 0x7fab12cd>", "step 7: <T at 0x7fffab90>", "step 9: <T at 0x1>")
    assert count(*((cause, 0) for cause in causes)) == 3
    assert count(("a 1", 0), ("a 2", 0), ("b", 0), ("b", 0)) == 2


def test_only_a_trial_that_comes_further_than_those_that_failed_begins_the_count_anew() -> None:
    assert count(("a", 0), ("a", 0), 1, ("a", 0)) == 1
    assert count(("a", 2), 1, 2, ("a", 2), 1, 2, ("a", 2)) == 3
    assert count(("a", 2), ("a", 1), 2, ("a", 1)) == 3
    assert count(("a", 2), ("a", 2), 3) == 0
    assert count(("a", 2), ("b", 0), 1, ("b", 0)) == 1
