"""What the coordinator tells Optuna, ends and counts, driven by simulated workers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from simulated_search import (
    FALLING,
    NONE,
    RULES,
    Simulation,
    assert_whole,
    by_number,
    config_of,
    cut_journal,
    learning_curve,
    num_lines,
    outcomes,
)

from search.run.events import Turn
from search.screen.pace import Pace, share_done
from search.study.trial import Outcome
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


# --- what Optuna is told


def test_each_trial_is_told_to_optuna_as_what_it_was(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"}, budget={"trials": 5, "max_virtual_epochs": 3}, scheduler=NONE
    )

    def curve(record: Any, virtual_epoch: int) -> float:
        if record.number == 1 and virtual_epoch == 2:
            return math.nan
        return [0.1, 0.9, 0.5][virtual_epoch - 1]

    def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        if number == 2 and virtual_epoch == 2:
            return FailureKind.ERROR
        return FailureKind.GPU_MEMORY if number == 3 and virtual_epoch == 1 else None

    simulation = Simulation(tmp_path, config, curve, faults=faults).run()
    told = simulation.study.study.get_trials()
    assert [trial.state for trial in told] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.PRUNED,
        TrialState.COMPLETE,
    ]
    assert [trial.value for trial in told] == [0.9, None, None, None, 0.9]
    assert [trial.intermediate_values for trial in told] == [
        {1: 0.1, 2: 0.9, 3: 0.5},
        {1: 0.1},
        {1: 0.1},
        {},
        {1: 0.1, 2: 0.9, 3: 0.5},
    ]
    assert_whole(tmp_path, simulation.records)
    assert simulation.records[1].reason == "virtual epoch 2, loss is nan"


def test_stopped_and_paused_trials_are_told_as_pruned_with_their_depth(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    simulation = Simulation(tmp_path, config, by_number(FALLING, gain=0.001)).run()
    told = simulation.study.study.get_trials()
    assert [trial.state for trial in told] == [TrialState.COMPLETE] + [TrialState.PRUNED] * 8
    assert [trial.last_step for trial in told] == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    assert told[1].value == pytest.approx(FALLING[1] + 0.0025), "of the last window, which is of two"
    assert simulation.records[1].reason == "paused at virtual epoch 3, not promoted"
    stopping = config_of(sampler={"name": "random"}, **RULES["asha_stop"])
    simulation = Simulation(tmp_path / "stop", stopping, by_number(FALLING)).run()
    assert simulation.records[0].depth == 9
    assert simulation.records[8].reason == "stopped at virtual epoch 1"


def test_a_diverged_trial_is_never_best_and_gives_its_place_at_the_rung_to_another(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})

    def curve(record: Any, virtual_epoch: int) -> float:
        return math.nan if record.number == 0 and virtual_epoch == 2 else FALLING[record.number]

    simulation = Simulation(tmp_path, config, curve).run()
    assert [record.depth for record in simulation.records] == [1, 9, 3, 3, 1, 1, 1, 1, 1]
    assert simulation.records[0].outcome is Outcome.DIVERGED
    assert simulation.coordinator.best is simulation.records[1]


def test_a_failed_trial_does_not_block_the_others(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    faults = lambda number, virtual_epoch, attempt: (  # noqa: E731
        FailureKind.ERROR if number == 0 and virtual_epoch == 2 else None
    )
    simulation = Simulation(tmp_path, config, by_number(FALLING), faults=faults).run()
    # Eight are left to be compared: two of them go on.
    assert [record.depth for record in simulation.records] == [1, 9, 3, 1, 1, 1, 1, 1, 1]
    assert simulation.records[0].outcome is Outcome.FAILED
    assert len(simulation.records[0].failures) == 2  # the same exception twice
    assert simulation.coordinator.best is simulation.records[1]


# --- limits


def test_the_number_of_trials_ends_a_search(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"})).run()
    assert len(simulation.records) == 9
    assert simulation.coordinator.ending is None


def test_the_time_limit_lets_running_virtual_epochs_finish_and_counts_over_restarts(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    limits = {"seconds": 8.5}  # less than a full training, of which a search would keep one in reserve
    first = Simulation(tmp_path, config, workers=2, limits=limits)
    first.run(max_reports=12)
    first.coordinator.close(resumable=True)
    spent = first.coordinator.elapsed_seconds
    assert 6 <= spent < 7
    second = Simulation(tmp_path, config, workers=2, limits=limits)
    assert second.coordinator.elapsed_seconds == pytest.approx(spent, abs=0.06)
    second.run()
    assert second.coordinator.ending == "time limit"
    assert 8.5 <= second.coordinator.elapsed_seconds < 9.6
    assert {record.outcome for record in second.records} <= {Outcome.COMPLETED, Outcome.STOPPED}
    assert any("when the search ended" in record.reason for record in second.records)
    assert_whole(tmp_path, second.records)


def test_a_killed_search_has_saved_its_time_to_within_seconds(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    Simulation(tmp_path, config).run(max_reports=14)
    elapsed = Simulation(tmp_path, config).coordinator.elapsed_seconds
    assert 14 - 6 <= elapsed <= 14.1


def test_the_step_limit_counts_the_steps_of_all_trials(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), limits={"steps": 42}).run()
    assert simulation.coordinator.ending == "step limit"
    assert simulation.coordinator.steps == 45
    assert_whole(tmp_path, simulation.records)


def test_the_step_limit_is_met_alike_after_a_kill_between_two_writes_of_a_report(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    reference = Simulation(tmp_path / "whole", config, limits={"steps": 52}).run()
    for lines in range(num_lines(tmp_path / "whole") - 40, num_lines(tmp_path / "whole"), 3):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut{lines}", lines)
        resumed = Simulation(folder, config, limits={"steps": 52}).run()
        assert outcomes(resumed.records) == outcomes(reference.records)


def test_the_first_reason_to_end_stands(tmp_path: Path) -> None:
    simulation = Simulation(
        tmp_path, config_of(sampler={"name": "random"}), limits={"steps": 20, "seconds": 9.0}
    )
    simulation.coordinator.end("interrupted")
    assert simulation.coordinator.next_job() is Turn.DONE
    assert simulation.coordinator.ending == "interrupted"


def test_an_ended_search_begins_no_further_virtual_epoch(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), workers=3)
    simulation.run(max_reports=7)
    under_way = len(simulation.coordinator.running)
    reported = sum(record.depth for record in simulation.records)
    simulation.coordinator.end("interrupted")
    simulation.run()
    assert sum(record.depth for record in simulation.records) == reported + under_way
    assert simulation.coordinator.running == []


def test_an_ended_search_does_not_wait_for_virtual_epochs_that_are_known(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, scheduler=NONE)
    Simulation(tmp_path, config).run(max_reports=5)
    simulation = Simulation(tmp_path, config, stale=4)
    simulation.step()
    simulation.coordinator.end("interrupted")
    assert simulation.run(max_reports=2).coordinator.running == []


# --- known points, progress


def test_known_points_come_first_and_once(tmp_path: Path) -> None:
    points = [
        {"optimizer": {"name": "sgd", "lr": 0.1}},
        {"model": {"hidden": 8}},
        {"model": {"hidden": 16}},
        {"model": {"hidden": 8}},
        {"optimizer": "adamw"},
    ]
    # With this seed what is drawn for the first trials has the values of later points by chance.
    config = config_of(sampler={"name": "random", "points_to_evaluate": points, "seed": 3})
    reference = Simulation(tmp_path / "whole", config).run()
    records = reference.records
    assert [r.known for r in records[:5]] == [
        {"optimizer": "sgd", "optimizer.sgd.lr": 0.1},
        {"model.hidden": 8},
        {"model.hidden": 16},
        {"optimizer": "adamw"},
        None,
    ]
    for record in records[:4]:
        assert record.resolved.params | record.known == record.resolved.params
    assert records[0].resolved.params["model.hidden"] in (8, 16)
    for lines in range(1, num_lines(tmp_path / "whole"), 3):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut{lines}", lines)
        assert outcomes(Simulation(folder, config).run().records) == outcomes(records)


def test_known_points_that_are_added_are_tried_next_and_none_twice(tmp_path: Path) -> None:
    first = {"model": {"hidden": 8}}
    config = config_of(sampler={"name": "random", "points_to_evaluate": [first]})
    before = Simulation(tmp_path, config).run(max_reports=4).records
    num_before = len(before)
    added = [{"optimizer": {"name": "sgd", "lr": 0.25}}, first, {"optimizer": {"name": "sgd", "lr": 0.5}}]
    records = (
        Simulation(tmp_path, config_of(sampler={"name": "random", "points_to_evaluate": added})).run().records
    )
    rates = [r.resolved.params.get("optimizer.sgd.lr") for r in records]
    assert rates[num_before : num_before + 2] == [0.25, 0.5]
    assert [r.known for r in records].count({"model.hidden": 8}) == 1
    assert [r.known for r in records].count(None) == len(records) - 3


def test_a_point_with_all_parameters_of_a_trial_is_not_tried_again(tmp_path: Path) -> None:
    space = {"model": {"hidden": {"choice": [8, 16]}}, "optimizer": {"name": "adamw", "lr": 0.01}}
    config = config_of(space, sampler={"name": "random"}, budget={"trials": 1, "max_virtual_epochs": 1})
    drawn = Simulation(tmp_path, config).run().records[0].resolved.params["model.hidden"]
    grid = config_of(space, sampler={"name": "grid"}, budget={"trials": 9, "max_virtual_epochs": 1})
    records = Simulation(tmp_path, grid).run().records
    assert [r.resolved.params["model.hidden"] for r in records] == [drawn, 24 - drawn]


def test_a_grid_gives_every_point_once(tmp_path: Path) -> None:
    space = {
        "model": {"hidden": {"choice": [8, 16]}},
        "optimizer": {"name": "adamw", "lr": {"choice": [1e-3, 1e-2]}},
    }
    simulation = Simulation(tmp_path, config_of(space, sampler={"name": "grid"}), workers=2).run()
    drawn = {tuple(record.resolved.params.values()) for record in simulation.records}
    assert len(simulation.records) == len(drawn) == 4


def test_a_grid_with_more_points_goes_on_with_those(tmp_path: Path) -> None:
    def grid(*rates: float) -> Any:
        space = {"optimizer": {"name": "adamw", "lr": {"choice": list(rates)}}, "batch_size": 16}
        return config_of(space, sampler={"name": "grid"}, budget={"trials": 9, "max_virtual_epochs": 3})

    curve = by_number(FALLING)
    before = [r.resolved.params for r in Simulation(tmp_path, grid(1e-3, 1e-2), curve).run().records]
    simulation = Simulation(tmp_path, grid(1e-1, 1e-2, 1e-3, 1.0), curve, workers=2).run()
    assert [r.resolved.params["optimizer.lr"] for r in simulation.records] == [1e-3, 1e-2, 1e-1, 1.0]
    assert [r.resolved.params for r in simulation.records[:2]] == before


@pytest.mark.parametrize(
    "sections",
    [
        *RULES.values(),
        {"scheduler": {"axis": "samples", "grace_period": 80}},
        {"scheduler": {"axis": "steps", "grace_period": 7, "reduction_factor": 2}},
    ],
    ids=str,
)
def test_progress_grows_from_nothing_to_all(tmp_path: Path, sections: dict[str, Any]) -> None:
    config = config_of(sampler={"name": "random"}, **sections)
    simulation = Simulation(tmp_path, config, workers=2)
    shares = [share_done(simulation.coordinator)]
    assert shares == [0.0]
    assert Pace().seconds_left(simulation.coordinator) is None
    while shares[-1] != 1.0:
        simulation.step()
        shares.append(share_done(simulation.coordinator))
        if not simulation.coordinator.running and all(r.outcome for r in simulation.records):
            break
        assert len(shares) < 200
    assert shares == sorted(shares)
    at_half = next(index for index, share in enumerate(shares) if share >= 0.5) / len(shares)
    assert 0.2 < at_half < 0.9


def test_optunas_own_best_is_a_trial_of_full_length(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), learning_curve).run()
    best = simulation.study.study.best_trial
    assert len(best.intermediate_values) == 9
    assert isinstance(best, optuna.trial.FrozenTrial)
