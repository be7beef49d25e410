"""Promotion by pausing, seen over whole simulated searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulated_search import (
    FALLING,
    FLAT_SPACE,
    Simulation,
    assert_whole,
    by_number,
    config_of,
    outcomes,
)

from search.run.events import EventKind
from search.screen.pace import share_done
from search.study.trial import Outcome
from trainables.data.virtual_epoch import VirtualEpochs

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_the_best_third_goes_on_from_each_rung_and_the_rest_stays(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    simulation = Simulation(tmp_path, config, by_number(FALLING)).run()
    assert [record.depth for record in simulation.records] == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    assert [record.outcome for record in simulation.records] == [Outcome.COMPLETED] + [Outcome.STOPPED] * 8
    assert_whole(tmp_path, simulation.records)


def test_trials_pause_at_each_rung_and_deeper_rungs_go_first(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    simulation = Simulation(tmp_path, config, by_number(FALLING)).run()
    kinds = (EventKind.PAUSED, EventKind.PROMOTED, EventKind.ENDED)
    seen = [(kind.value, number, depth) for kind, number, depth in simulation.events if kind in kinds]
    assert seen == [
        ("paused", 0, 1),
        ("paused", 1, 1),
        ("paused", 2, 1),
        ("promoted", 0, 1),
        ("paused", 0, 3),
        ("paused", 3, 1),
        ("paused", 4, 1),
        ("paused", 5, 1),
        ("promoted", 1, 1),
        ("paused", 1, 3),
        ("paused", 6, 1),
        ("paused", 7, 1),
        ("paused", 8, 1),
        ("promoted", 2, 1),
        ("paused", 2, 3),
        ("promoted", 0, 3),
        ("ended", 0, 9),
    ]


@pytest.mark.parametrize(("factor", "depths"), [(2, [8, 4, 2, 2, 1, 1, 1, 1]), (4, [8, 4, 1, 1, 1, 1, 1, 1])])
def test_the_reduction_factor_says_how_many_go_on(tmp_path: Path, factor: int, depths: list[int]) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 8, "max_virtual_epochs": 8},
        scheduler={"grace_period": 1, "reduction_factor": factor},
    )
    simulation = Simulation(tmp_path, config, by_number(FALLING)).run()
    assert [record.depth for record in simulation.records] == depths


def test_grace_is_the_first_rung(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, scheduler={"grace_period": 2})
    simulation = Simulation(tmp_path, config, by_number(FALLING)).run()
    assert [record.depth for record in simulation.records] == [9, 6, 6, 2, 2, 2, 2, 2, 2]


def test_with_mode_min_the_smallest_objective_goes_on(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, objective={"metric": "accuracy", "mode": "min"})
    simulation = Simulation(tmp_path, config, by_number(FALLING[:9][::-1])).run()
    assert [record.depth for record in simulation.records] == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    assert simulation.coordinator.best is simulation.records[0]


@pytest.mark.parametrize("trials", [1, 2, 3, 4, 5, 9, 13])
def test_one_trial_is_trained_to_the_end_however_few_there_are(tmp_path: Path, trials: int) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": trials, "max_virtual_epochs": 9})
    simulation = Simulation(tmp_path, config, workers=2).run()
    assert len(simulation.records) == trials
    assert [record.outcome for record in simulation.records].count(Outcome.COMPLETED) >= 1
    assert_whole(tmp_path, simulation.records)


@pytest.mark.parametrize("length", [1, 2, 4, 27, 30])
def test_any_full_length_will_do(tmp_path: Path, length: int) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 9, "max_virtual_epochs": length})
    simulation = Simulation(tmp_path, config, workers=3).run()
    assert max(record.depth for record in simulation.records) == length
    assert_whole(tmp_path, simulation.records)


@pytest.mark.parametrize(
    ("trials", "length", "factor", "expected"),
    [
        (9, 9, 3, 21),
        (2, 9, 3, 10),
        (27, 27, 3, 27 + 18 + 18 + 18),
        (8, 8, 2, 8 + 4 + 4 + 4),
        (1, 1, 3, 1),
        (3, 1, 3, 3),
    ],
)
def test_as_many_virtual_epochs_as_expected_where_the_best_come_first(
    tmp_path: Path, trials: int, length: int, factor: int, expected: int
) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": trials, "max_virtual_epochs": length},
        scheduler={"grace_period": 1, "reduction_factor": factor},
    )
    simulation = Simulation(tmp_path, config, by_number(FALLING)).run()
    rule = simulation.rule
    assert sum(record.depth for record in simulation.records) == rule.expected_virtual_epochs(trials, length)
    assert rule.expected_virtual_epochs(trials, length) == expected
    assert share_done(simulation.coordinator) == 1.0


def test_on_the_axis_of_samples_trials_are_compared_after_equal_amounts_of_data(tmp_path: Path) -> None:
    space = {**FLAT_SPACE, "batch_size": {"choice": [8, 16, 32]}}
    config = config_of(
        space,
        sampler={"name": "random", "seed": 3},
        budget={"trials": 12, "max_virtual_epochs": 16},
        scheduler={"axis": "samples", "grace_period": 160, "reduction_factor": 4},
    )

    def lengths(record: Any) -> VirtualEpochs:
        batch = record.resolved.options["batch_size"]
        return VirtualEpochs(unit="steps", count=5, step_samples=batch, epoch_samples=1200)

    simulation = Simulation(tmp_path, config, lengths=lengths, workers=2).run()
    batches = [record.resolved.options["batch_size"] for record in simulation.records]
    assert {batches[number] for number, _ in simulation.samples_at_pauses} == {8, 16, 32}
    # A rung is reached in the virtual epoch that epochs it, so less than one virtual epoch later.
    for number, samples in simulation.samples_at_pauses:
        batch = batches[number]
        assert any(rung <= samples < rung + 5 * batch for rung in (160, 640, 2560))
    assert_whole(tmp_path, simulation.records)


@pytest.mark.parametrize("workers", [2, 4, 9])
def test_with_several_workers_no_virtual_epoch_is_missing_or_double(tmp_path: Path, workers: int) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 20, "max_virtual_epochs": 9})
    simulation = Simulation(tmp_path, config, workers=workers).run()
    assert_whole(tmp_path, simulation.records)
    assert len(simulation.records) == 20
    third = sorted((record.values[0] for record in simulation.records), reverse=True)[: 20 // 3]
    for record in simulation.records:
        if record.values[0] in third:
            assert record.depth >= 3


def test_virtual_epochs_that_are_computed_again_change_nothing(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    once = Simulation(tmp_path / "once", config).run()
    again = Simulation(tmp_path / "stale", config, stale=2).run()
    assert outcomes(again.records) == outcomes(once.records)
