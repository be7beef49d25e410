"""Which trials keep their checkpoints."""

from __future__ import annotations

import pytest

from search.run.retention import trials_to_keep
from search.space.parse import parse_space
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord

SPACE = parse_space({})


def record(number: int, *values: float, outcome: Outcome | None = Outcome.STOPPED) -> TrialRecord:
    return TrialRecord(number, number, SPACE, {}, values=list(values), outcome=outcome)


RECORDS = [
    record(0, 0.5, 0.9, 0.1),
    record(1, 0.7),
    record(2, 0.9),
    record(3, outcome=None),
    record(4, 0.2, 0.3, outcome=None),
]


@pytest.mark.parametrize(("keep", "kept"), [(1, {0}), (2, {0, 2}), (3, {0, 1, 2}), (9, {0, 1, 2, 4})])
def test_so_many_of_the_best_are_kept(keep: int, kept: set[int]) -> None:
    assert trials_to_keep(RECORDS, mode="max", keep_trials=keep, going_on=()) == kept


def test_trials_that_go_on_are_kept_besides_the_best() -> None:
    assert trials_to_keep(RECORDS, mode="max", keep_trials=1, going_on=[3, 4]) == {0, 3, 4}
    assert trials_to_keep(RECORDS, mode="max", keep_trials=1, going_on=[0]) == {0}


@pytest.mark.parametrize("outcome", BROKEN_OFF)
def test_a_trial_that_broke_off_takes_nobodys_place(outcome: Outcome) -> None:
    records = [*RECORDS, record(5, 1.0, outcome=outcome)]
    assert trials_to_keep(records, mode="max", keep_trials=2, going_on=()) == {0, 2}
    assert trials_to_keep(records, mode="max", keep_trials=2, going_on=[5]) == {0, 2, 5}


def test_nothing_is_kept_of_no_trials() -> None:
    assert trials_to_keep([], mode="max", keep_trials=5, going_on=()) == set()
