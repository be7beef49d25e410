"""Which trials keep their checkpoints."""

from __future__ import annotations

import math

import pytest

from search.run.retention import ranked, trials_to_keep
from search.space.space import Resolved
from search.study.study import BROKEN_OFF, Outcome, TrialRecord, best_record

RESOLVED = Resolved({}, {}, {})


def record(number: int, *values: float, outcome: Outcome | None = Outcome.STOPPED) -> TrialRecord:
    return TrialRecord(number, number, RESOLVED, values=list(values), outcome=outcome)


RECORDS = [
    record(0, 0.5, 0.9, 0.1),
    record(1, 0.7),
    record(2, 0.9),
    record(3, outcome=None),
    record(4, 0.2, 0.3, outcome=None),
]


def test_the_best_value_of_a_trial_counts_whenever_it_came() -> None:
    assert [r.number for r in ranked(RECORDS, "max")] == [0, 2, 1, 4]
    assert [r.number for r in ranked(RECORDS, "min")] == [0, 4, 1, 2]


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


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_first_is_the_trial_that_is_exported(mode: str) -> None:
    records = [*RECORDS, record(5, -math.inf, 0.0), record(6, 0.9)]
    assert ranked(records, mode)[0] is best_record(records, mode)


def test_nothing_is_kept_of_no_trials() -> None:
    assert trials_to_keep([], mode="max", keep_trials=5, going_on=()) == set()
