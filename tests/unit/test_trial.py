"""One trial as the study holds it, and which trials are the best."""

from __future__ import annotations

import math
from typing import Any

import pytest
from records import trial
from simulated_search import SPACE

from search.space.parse import parse_space
from search.study.trial import Outcome, TrialRecord, best_record, ranked

RECORDS = [
    trial(0, 0.5, 0.9, 0.1, outcome=Outcome.STOPPED),
    trial(1, 0.7, outcome=Outcome.STOPPED),
    trial(2, 0.9, outcome=Outcome.STOPPED),
    trial(3),
    trial(4, 0.2, 0.3),
]


@pytest.mark.parametrize(("mode", "best", "virtual_epoch"), [("max", 0.7, 2), ("min", 0.1, 1)])
def test_the_best_virtual_epoch_is_the_first_of_equals(mode: Any, best: float, virtual_epoch: int) -> None:
    record = trial(0, 0.1, 0.7, 0.1, 0.7)
    assert record.best(mode) == best
    assert record.best_virtual_epoch(mode) == virtual_epoch
    assert record.best(mode, depth=1) == 0.1
    assert trial(1).best(mode) is None


def test_the_best_trial_is_the_first_of_equals_and_none_that_broke_off() -> None:
    broken = [Outcome.DIVERGED, Outcome.FAILED, Outcome.OUT_OF_MEMORY]
    records = [
        trial(0),
        *(trial(1 + n, 0.9, outcome=outcome) for n, outcome in enumerate(broken)),
        trial(4, 0.5),
        trial(5, 0.2, 0.7, 0.1, outcome=Outcome.STOPPED),
        trial(6, 0.7, outcome=Outcome.COMPLETED),
    ]
    best, smallest = best_record(records, "max"), best_record(records, "min")
    assert best is records[5]
    assert smallest is records[5]
    assert best_record(records[:4], "max") is None


def test_the_best_value_of_a_trial_counts_whenever_it_came() -> None:
    assert [r.number for r in ranked(RECORDS, "max")] == [0, 2, 1, 4]
    assert [r.number for r in ranked(RECORDS, "min")] == [0, 4, 1, 2]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_first_is_the_trial_that_is_exported(mode: Any) -> None:
    records = [*RECORDS, trial(5, -math.inf, 0.0), trial(6, 0.9)]
    assert ranked(records, mode)[0] is best_record(records, mode)


def test_the_configuration_of_a_record_is_what_its_parameters_stand_for() -> None:
    space = parse_space(SPACE)
    for resolved in space.candidates():
        assert TrialRecord(0, 0, space, resolved.params).resolved == resolved
