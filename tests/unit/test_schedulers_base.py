"""Rungs, and what holds for every scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from records import STEPS_OF_5, trial
from simulated_search import Simulation, config_of

from search.config.schema import Mode
from search.schedulers.base import Rungs
from search.schedulers.build import build_scheduler
from search.study.study import JOURNAL

pytestmark = pytest.mark.usefixtures("no_fsync")


# --- rungs


def test_rung_indices_are_counted_at_powers_of_the_reduction_factor() -> None:
    rungs = Rungs(grace_period=2, reduction_factor=3)
    indices = [rungs.index(trial(0, *[0.0] * depth)) for depth in range(19)]
    assert indices == [0, 0, 1, 1, 1, 1, 2, *[2] * 11, 3]
    assert [depth for depth in range(19) if rungs.reached(trial(0, *[0.0] * depth))] == [2, 6, 18]


@pytest.mark.parametrize("axis", ["virtual_epochs", "steps", "samples"])
def test_a_trial_that_has_reported_nothing_is_at_index_0(axis: Any) -> None:
    record = trial(0)
    record.lengths = None
    assert Rungs(axis=axis).index(record) == 0
    assert not Rungs(axis=axis).reached(record)
    assert Rungs(axis=axis).value_at(record, 1, "max") is None


def test_rungs_on_the_axes_of_steps_and_samples() -> None:
    steps, samples = Rungs(grace_period=10, axis="steps"), Rungs(grace_period=100, axis="samples")
    ten = [trial(0, *[0.0] * depth) for depth in range(11)]
    assert [depth for depth in range(11) if steps.reached(ten[depth])] == [2, 6]
    assert [depth for depth in range(11) if samples.reached(ten[depth])] == [2, 4]


def test_several_rungs_within_one_virtual_epoch_are_reached_at_once() -> None:
    rungs = Rungs(grace_period=1, axis="steps")
    assert rungs.index(trial(0, 0.0)) == 2
    assert rungs.value_at(trial(0, 0.3, 0.9), 2, "max") == 0.3


@pytest.mark.parametrize(("mode", "expected"), [("max", [0.5, 0.5, 0.9]), ("min", [0.5, 0.1, 0.1])])
def test_the_value_at_a_rung_is_the_best_up_to_it(mode: Mode, expected: list[float]) -> None:
    record = trial(0, 0.5, 0.1, 0.4, 0.3, 0.9, 0.2, 0.3, 0.3, 0.3)
    values = [Rungs().value_at(record, index, mode) for index in (1, 2, 3)]
    assert values == expected
    assert Rungs().value_at(record, 4, mode) is None


def test_rungs_are_described_below_the_full_length() -> None:
    assert Rungs().describe(27) == "1, 3, 9"
    assert Rungs(grace_period=2, reduction_factor=4).describe(9) == "2, 8"
    assert Rungs().describe(1) == "none"
    assert Rungs(grace_period=10, axis="steps").describe(27, STEPS_OF_5) == "10, 30, 90"
    assert Rungs(grace_period=100, axis="samples").describe(9, STEPS_OF_5) == "100, 300"
    assert Rungs(grace_period=100, axis="samples").describe(9) == "100, 300, …"


# --- every scheduler


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize(
    "scheduler",
    [
        {"name": "asha"},
        {"name": "asha_stop"},
        {"name": "hyperband"},
        {"name": "median", "startup_trials": 1},
        {"name": "percentile", "startup_trials": 1},
        {"name": "none"},
    ],
    ids=lambda scheduler: scheduler["name"],
)
def test_a_scheduler_writes_nothing_and_answers_alike_when_asked_again(
    tmp_path: Path, scheduler: dict[str, Any], mode: str
) -> None:
    objective = {"metric": "accuracy", "mode": mode}
    config = config_of(sampler={"name": "random"}, scheduler=scheduler, objective=objective)
    simulation = Simulation(tmp_path, config, workers=2).run(max_reports=14)
    scheduler, study = build_scheduler(config), simulation.study
    before = (tmp_path / JOURNAL).read_bytes()
    asked = [record for record in simulation.records if record.values and record.outcome is None]
    first = [scheduler.after_report(study, record) for record in asked]
    assert [scheduler.after_report(study, record) for record in asked] == first
    promoted = scheduler.next_promotion(study, closing=False)
    assert scheduler.next_promotion(study, closing=False) is promoted
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_without_a_scheduler_every_trial_is_trained_to_its_end(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"}, scheduler={"name": "none"}, budget={"trials": 3, "max_virtual_epochs": 4}
    )
    simulation = Simulation(tmp_path, config).run()
    assert [record.depth for record in simulation.records] == [4, 4, 4]
    assert simulation.rule.expected_virtual_epochs(3, 4) == 12
