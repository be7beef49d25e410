"""What the coordinator tells Optuna, retries, ends and counts, driven by simulated workers."""

from __future__ import annotations

import math
import os
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

from search.coordinator import EventKind, Turn
from search.study import JOURNAL, Outcome


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


# --- what Optuna is told


def test_each_trial_is_told_to_optuna_as_what_it_was(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 5, "virtual_epochs": 3}, scheduler=NONE)

    def curve(record: Any, virtual_epoch: int) -> float:
        if record.number == 1 and virtual_epoch == 2:
            return math.nan
        return [0.1, 0.9, 0.5][virtual_epoch - 1]

    def faults(number: int, virtual_epoch: int, attempt: int) -> Outcome | None:
        if number == 2 and virtual_epoch == 2:
            return Outcome.FAILED
        return Outcome.OUT_OF_MEMORY if number == 3 and virtual_epoch == 1 else None

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
    assert told[1].value == FALLING[1] + 0.003
    assert simulation.records[1].reason == "paused at virtual epoch 3, not promoted"
    stopping = config_of(sampler={"name": "random"}, scheduler=RULES["asha_stop"])
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
        Outcome.FAILED if number == 0 and virtual_epoch == 2 else None
    )
    simulation = Simulation(tmp_path, config, by_number(FALLING), faults=faults).run()
    # Eight are left to be compared: two of them go on.
    assert [record.depth for record in simulation.records] == [1, 9, 3, 1, 1, 1, 1, 1, 1]
    assert simulation.records[0].outcome is Outcome.FAILED
    assert simulation.records[0].failures == 3
    assert simulation.coordinator.best is simulation.records[1]


# --- failures


def test_a_trial_is_tried_again_as_often_as_allowed(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 1, "virtual_epochs": 4}, scheduler=NONE)
    simulation = Simulation(
        tmp_path, config, faults=lambda _, v, attempt: Outcome.FAILED if v == 3 and attempt < 2 else None
    ).run()
    (record,) = simulation.records
    assert (record.outcome, record.failures, record.depth) == (Outcome.COMPLETED, 2, 4)
    assert [kind for kind, *_ in simulation.events].count(EventKind.RETRIED) == 2
    assert_whole(tmp_path, simulation.records)


def test_out_of_memory_is_not_tried_again(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 2, "virtual_epochs": 2}, scheduler=NONE)
    simulation = Simulation(
        tmp_path, config, faults=lambda number, v, _: Outcome.OUT_OF_MEMORY if number == 0 else None
    ).run()
    assert [record.outcome for record in simulation.records] == [Outcome.OUT_OF_MEMORY, Outcome.COMPLETED]
    assert simulation.records[0].failures == 1


def test_the_search_gives_up_after_too_many_failed_trials_in_a_row(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 20, "virtual_epochs": 2})
    coordinator = (
        Simulation(
            tmp_path,
            config,
            limits={"max_failures": 0, "max_failed": 3},
            faults=lambda number, v, _: Outcome.FAILED if number not in (0, 2) else None,
        )
        .run()
        .coordinator
    )
    assert coordinator.gave_up
    assert coordinator.ending == "3 trials in a row failed, the last with: failed in virtual epoch 1"
    assert len(coordinator.study.records) == 6


def test_a_diverged_trial_is_no_failed_one(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 9, "virtual_epochs": 2})
    simulation = Simulation(
        tmp_path,
        config,
        lambda record, _: math.nan,
        limits={"max_failures": 0, "max_failed": 2},
        faults=lambda number, v, _: Outcome.FAILED if number % 2 else None,
    ).run()
    assert not simulation.coordinator.gave_up
    assert len(simulation.records) == 9


def test_a_trial_that_failed_too_often_is_not_tried_again_after_a_restart(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 1, "virtual_epochs": 2})
    Simulation(tmp_path / "whole", config, faults=lambda *_: Outcome.FAILED).run()
    text = (tmp_path / "whole" / JOURNAL).read_text()
    after_last_failure = text[: text.index('"failures":3')].count("\n") + 1
    folder = cut_journal(tmp_path / "whole", tmp_path / "cut", after_last_failure)
    (record,) = Simulation(folder, config).run().records
    assert (record.outcome, record.failures) == (Outcome.FAILED, 3)
    assert record.reason == "failed in virtual epoch 1"


def test_a_leg_lost_at_a_rung_leaves_the_trial_paused(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 4, "virtual_epochs": 9})
    simulation = Simulation(
        tmp_path,
        config,
        by_number(FALLING),
        faults=lambda number, v, attempt: Outcome.FAILED if (number, v, attempt) == (0, 2, 0) else None,
    ).run()
    promoted = [(number, depth) for kind, number, depth in simulation.events if kind is EventKind.PROMOTED]
    assert promoted.count((0, 1)) == 2
    assert simulation.records[0].depth == 9
    assert_whole(tmp_path, simulation.records)


def test_a_lost_leg_of_a_trial_that_was_not_stopped_goes_on_although_others_came_since(
    tmp_path: Path,
) -> None:
    """The rule was asked after the report; a crash is no reason to ask it again."""
    config = config_of(
        sampler={"name": "random"}, budget={"trials": 4, "virtual_epochs": 9}, scheduler=RULES["asha_stop"]
    )
    simulation = Simulation(
        tmp_path,
        config,
        by_number([0.1, 0.2, 0.3, 0.4]),
        workers=4,
        faults=lambda number, v, attempt: Outcome.FAILED if (number, v, attempt) == (0, 2, 0) else None,
    ).run()
    assert simulation.records[0].depth >= 3
    ended = [number for kind, number, _ in simulation.events if kind is EventKind.ENDED]
    assert sorted(ended) == [0, 1, 2, 3]


# --- limits


def test_the_number_of_trials_ends_a_search(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"})).run()
    assert len(simulation.records) == 9
    assert simulation.coordinator.ending is None


def test_the_time_limit_lets_running_virtual_epochs_finish_and_counts_over_restarts(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    limits = {"seconds": 10.0}
    first = Simulation(tmp_path, config, workers=2, limits=limits)
    first.run(max_reports=12)
    first.coordinator.close(resumable=True)
    spent = first.coordinator.elapsed_seconds
    assert 6 <= spent < 7
    second = Simulation(tmp_path, config, workers=2, limits=limits)
    assert second.coordinator.elapsed_seconds == pytest.approx(spent, abs=0.06)
    second.run()
    assert second.coordinator.ending == "time limit"
    assert 10 <= second.coordinator.elapsed_seconds < 11.1
    assert {record.outcome for record in second.records} <= {Outcome.COMPLETED, Outcome.STOPPED}
    assert any("when the search ended" in record.reason for record in second.records)
    assert_whole(tmp_path, second.records)


def test_a_killed_search_has_saved_its_time_to_within_seconds(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    Simulation(tmp_path, config).run(max_reports=14)
    elapsed = Simulation(tmp_path, config).coordinator.elapsed_seconds
    assert 14 - 6 <= elapsed <= 14.1


def test_the_step_limit_counts_the_steps_of_all_trials(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), limits={"steps": 52}).run()
    assert simulation.coordinator.ending == "step limit"
    assert simulation.coordinator.steps == 55
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
    assert simulation.coordinator.next_trial() is Turn.DONE
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
    points = [{"optimizer": {"name": "sgd", "lr": 0.1}}, {"model": {"hidden": 8}}]
    config = config_of(sampler={"name": "random", "initial": points})
    records = Simulation(tmp_path / "whole", config).run().records
    assert records[0].resolved.tree["optimizer"]["name"] == "sgd"
    assert records[0].resolved.tree["optimizer"]["lr"] == 0.1
    assert records[1].resolved.tree["model"]["hidden"] == 8
    for lines in range(1, 16, 2):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut{lines}", lines)
        assert outcomes(Simulation(folder, config).run().records) == outcomes(records)


def test_a_grid_gives_every_point_once(tmp_path: Path) -> None:
    space = {
        "model": {"hidden": {"choice": [8, 16]}},
        "optimizer": {"name": "adamw", "lr": {"choice": [1e-3, 1e-2]}},
    }
    simulation = Simulation(tmp_path, config_of(space, sampler={"name": "grid"}), workers=2).run()
    drawn = {tuple(record.resolved.params.values()) for record in simulation.records}
    assert len(simulation.records) == len(drawn) == 4


@pytest.mark.parametrize(
    "scheduler",
    [*RULES.values(), {"axis": "samples", "grace": 80}, {"axis": "steps", "grace": 7, "reduction_factor": 2}],
    ids=str,
)
def test_progress_grows_from_nothing_to_all(tmp_path: Path, scheduler: dict[str, Any]) -> None:
    config = config_of(sampler={"name": "random"}, scheduler=scheduler)
    simulation = Simulation(tmp_path, config, workers=2)
    shares = [simulation.coordinator.progress()]
    assert shares == [0.0]
    assert simulation.coordinator.seconds_left() is None
    while shares[-1] != 1.0:
        simulation.step()
        shares.append(simulation.coordinator.progress())
        if not simulation.coordinator.running and all(r.outcome for r in simulation.records):
            break
        assert len(shares) < 200
    assert shares == sorted(shares)
    at_half = next(index for index, share in enumerate(shares) if share >= 0.5) / len(shares)
    assert 0.2 < at_half < 0.9


def test_time_left_is_no_longer_than_the_time_limit(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), limits={"seconds": 8.0})
    assert simulation.coordinator.seconds_left() == 8.0
    simulation.run(max_reports=5)
    left = simulation.coordinator.seconds_left()
    assert left is not None
    assert 2.5 < left < 3.5


def test_optunas_own_best_is_a_trial_of_full_length(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), learning_curve).run()
    best = simulation.study.study.best_trial
    assert len(best.intermediate_values) == 9
    assert isinstance(best, optuna.trial.FrozenTrial)
