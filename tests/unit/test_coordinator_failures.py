"""Which failures the coordinator retries, and which end a trial or the search."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from simulated_search import (
    FALLING,
    NONE,
    RULES,
    Simulation,
    assert_whole,
    by_number,
    config_of,
    cut_journal,
    outcomes,
)

from search.run.events import EventKind, Turn
from search.study.journal import JournalWriteError
from search.study.study import JOURNAL
from search.study.trial import Outcome
from trainables.process.failure import Failure, FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


# --- failures


def test_a_trial_is_tried_again_as_often_as_allowed(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"}, budget={"trials": 1, "max_virtual_epochs": 4}, scheduler=NONE
    )
    simulation = Simulation(
        tmp_path, config, faults=lambda _, v, attempt: FailureKind.PASSING if v == 3 and attempt < 2 else None
    ).run()
    (record,) = simulation.records
    assert (record.outcome, len(record.failures), record.depth) == (Outcome.COMPLETED, 2, 4)
    assert [kind for kind, *_ in simulation.events].count(EventKind.RETRIED) == 2
    assert_whole(tmp_path, simulation.records)


@pytest.mark.parametrize(
    ("kind", "attempts", "outcome"),
    [
        (FailureKind.PASSING, 3, Outcome.FAILED),
        (FailureKind.ERROR, 2, Outcome.FAILED),
        (FailureKind.LASTING, 1, Outcome.FAILED),
        (FailureKind.DIED, 3, Outcome.FAILED),
        (FailureKind.HUNG, 2, Outcome.FAILED),
        (FailureKind.MEMORY, 2, Outcome.OUT_OF_MEMORY),
        (FailureKind.GPU_MEMORY, 1, Outcome.OUT_OF_MEMORY),
    ],
)
def test_a_trial_that_always_fails_gets_as_many_attempts_as_its_kind_of_failure_makes_sense_of(
    tmp_path: Path, kind: FailureKind, attempts: int, outcome: Outcome
) -> None:
    config = config_of(
        sampler={"name": "random"}, budget={"trials": 2, "max_virtual_epochs": 2}, scheduler=NONE
    )
    faults = lambda number, v, _: kind if number == 0 and v == 2 else None  # noqa: E731
    simulation = Simulation(tmp_path, config, faults=faults).run()
    first, second = simulation.records
    assert (first.outcome, first.reason) == (outcome, f"{kind} in virtual epoch 2")
    assert [failure.kind for failure in first.failures] == [kind] * attempts
    assert (first.depth, second.outcome) == (1, Outcome.COMPLETED)
    assert_whole(tmp_path, simulation.records)


def test_the_search_gives_up_when_too_many_trials_in_a_row_fail_alike(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 20, "max_virtual_epochs": 2})
    coordinator = (
        Simulation(
            tmp_path,
            config,
            limits={"max_failures": 0, "max_failed_trials": 3},
            faults=lambda number, v, _: FailureKind.ERROR if number not in (0, 2) else None,
        )
        .run()
        .coordinator
    )
    assert coordinator.gave_up
    assert coordinator.ending == "3 trials in a row failed alike: error in virtual epoch 1"
    assert len(coordinator.study.records) == 6


def test_trials_that_all_fail_alike_after_good_virtual_epochs_end_the_search_too(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"}, budget={"trials": 20, "max_virtual_epochs": 9}, scheduler=NONE
    )
    faults = lambda number, v, _: FailureKind.ERROR if v == 3 else None  # noqa: E731
    simulation = Simulation(
        tmp_path, config, workers=2, limits={"max_failures": 1, "max_failed_trials": 4}, faults=faults
    ).run()
    assert simulation.coordinator.gave_up
    assert [r.outcome for r in simulation.records].count(Outcome.FAILED) == 4
    assert str(simulation.coordinator.ending).startswith("4 trials in a row failed alike: error in virtual")


def test_trials_that_fail_alike_among_others_that_do_well_do_not_end_the_search(tmp_path: Path) -> None:
    """Under promotion the others pause, and none has ended yet."""
    config = config_of(sampler={"name": "random"}, budget={"trials": 20, "max_virtual_epochs": 9})
    faults = lambda number, v, _: FailureKind.ERROR if number % 3 == 1 else None  # noqa: E731
    simulation = Simulation(
        tmp_path,
        config,
        by_number(FALLING),
        limits={"max_failures": 0, "max_failed_trials": 2},
        faults=faults,
    ).run()
    assert not simulation.coordinator.gave_up
    assert [r.outcome for r in simulation.records].count(Outcome.FAILED) == 7
    assert len(simulation.records) == 20


def test_trials_that_fail_for_different_reasons_do_not_end_the_search(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 9, "max_virtual_epochs": 2})
    kinds = [FailureKind.ERROR, FailureKind.GPU_MEMORY, FailureKind.DIED]
    simulation = Simulation(
        tmp_path,
        config,
        limits={"max_failures": 0, "max_failed_trials": 2},
        faults=lambda number, v, _: kinds[number % 3],
    ).run()
    assert not simulation.coordinator.gave_up
    assert len(simulation.records) == 9


def test_a_diverged_trial_is_no_failed_one(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 9, "max_virtual_epochs": 2})
    simulation = Simulation(
        tmp_path,
        config,
        lambda record, _: math.nan,
        limits={"max_failures": 0, "max_failed_trials": 2},
        faults=lambda number, v, _: FailureKind.ERROR if number % 2 else None,
    ).run()
    assert not simulation.coordinator.gave_up
    assert len(simulation.records) == 9


def test_a_trial_that_failed_too_often_is_not_tried_again_after_a_restart(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 1, "max_virtual_epochs": 2})
    whole = Simulation(tmp_path / "whole", config, faults=lambda *_: FailureKind.PASSING).run()
    assert len(whole.records[0].failures) == 3
    lines = (tmp_path / "whole" / JOURNAL).read_text().splitlines()
    last_failure = max(n for n, line in enumerate(lines, start=1) if '"failures"' in line)
    folder = cut_journal(tmp_path / "whole", tmp_path / "cut", last_failure)
    again = Simulation(folder, config).run()
    assert outcomes(again.records) == outcomes(whole.records)
    assert again.records[0].failures == whole.records[0].failures


def test_a_full_disk_ends_the_search_and_is_no_failure_of_the_trial(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, scheduler=NONE)
    reference = Simulation(tmp_path / "whole", config, workers=2).run()
    full = Simulation(
        tmp_path / "full",
        config,
        workers=2,
        faults=lambda number, v, _: FailureKind.DISK_FULL if (number, v) == (2, 4) else None,
    )
    while full.coordinator.ending is None or full.coordinator.running:
        full.step()
    assert full.coordinator.gave_up
    assert full.coordinator.ending == "trial 2: disk full in virtual epoch 4; free some and resume"
    full.coordinator.close(resumable=True)
    assert (full.records[2].failures, full.records[2].outcome, full.records[2].depth) == ([], None, 3)
    again = Simulation(tmp_path / "full", config, workers=2).run()
    assert outcomes(again.records) == outcomes(reference.records)


def test_a_trial_lost_after_its_promotion_is_tried_again_and_stays_promoted(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 4, "max_virtual_epochs": 9})
    # With 0.1 trial 3 is the best, so nobody would promote trial 0 a second time.
    simulation = Simulation(
        tmp_path,
        config,
        by_number([0.9, 0.5, 0.1, 1.0]),
        faults=lambda number, v, attempt: FailureKind.ERROR if (number, v, attempt) == (0, 2, 0) else None,
    ).run()
    promoted = [(number, depth) for kind, number, depth in simulation.events if kind is EventKind.PROMOTED]
    assert promoted.count((0, 1)) == 1
    assert (EventKind.RESUMED, 0, 1) in simulation.events
    assert simulation.records[0].depth >= 3
    assert_whole(tmp_path, simulation.records)


def test_a_lost_job_of_a_trial_that_was_not_stopped_goes_on_although_others_came_since(
    tmp_path: Path,
) -> None:
    """The rule was asked after the report; a crash is no reason to ask it again."""
    config = config_of(
        sampler={"name": "random"}, budget={"trials": 4, "max_virtual_epochs": 9}, **RULES["asha_stop"]
    )
    simulation = Simulation(
        tmp_path,
        config,
        by_number([0.1, 0.2, 0.3, 0.4]),
        workers=4,
        faults=lambda number, v, attempt: FailureKind.ERROR if (number, v, attempt) == (0, 2, 0) else None,
    ).run()
    assert simulation.records[0].depth >= 3
    ended = [number for kind, number, _ in simulation.events if kind is EventKind.ENDED]
    assert sorted(ended) == [0, 1, 2, 3]


def test_a_virtual_epoch_that_comes_out_otherwise_when_computed_again_is_noted_once(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"}, scheduler=NONE, budget={"trials": 2, "max_virtual_epochs": 4}
    )
    before = Simulation(tmp_path, config).run(max_reports=3)
    again = Simulation(tmp_path, config, lambda record, v: 0.5, stale=3)
    again.run()
    noted = [number for kind, number, _ in again.events if kind is EventKind.MESSAGE]
    assert noted == [0]
    assert again.records[0].values[:3] == before.records[0].values


def test_a_virtual_epoch_may_take_ten_times_as_long_as_the_slowest_so_far(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    simulation = Simulation(tmp_path, config)
    assert simulation.coordinator.timeout == 3600.0
    assert simulation.run(max_reports=3).coordinator.timeout == 300.0
    record = simulation.coordinator.next_job()
    assert not isinstance(record, Turn)
    lengths = simulation.lengths(record)
    report = {"virtual_epoch": record.depth + 1, "accuracy": 0.5, "seconds": record.seconds + 90.0}
    simulation.coordinator.on_report(record.number, report, lengths)
    assert simulation.coordinator.timeout == 900.0
    given = Simulation(tmp_path, config, limits={"timeout": 2.0})
    assert given.coordinator.timeout == 2.0


# --- a study that cannot be written


def test_a_study_that_cannot_be_written_ends_the_search_and_is_left_as_it_is(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), workers=2).run(max_reports=4)
    coordinator = simulation.coordinator
    error = JournalWriteError("cannot write study.journal: No space left on device")
    coordinator.on_broken(error)
    coordinator.on_broken(OSError("another"))
    assert coordinator.next_job() is Turn.DONE
    assert (coordinator.broken, coordinator.gave_up, coordinator.ending) == (error, True, str(error))
    written = (tmp_path / JOURNAL).read_bytes()
    coordinator.close(resumable=False)
    assert (tmp_path / JOURNAL).read_bytes() == written


@pytest.mark.parametrize("how", ["interrupted", "disk full"])
def test_a_trial_whose_job_ends_with_the_search_keeps_its_checkpoints(tmp_path: Path, how: str) -> None:
    simulation = Simulation(tmp_path, config_of(scheduler=NONE), workers=1).run(max_reports=2)
    coordinator = simulation.coordinator
    (running,) = coordinator.running
    if how == "interrupted":
        coordinator.end("Ctrl-C")
        simulation.run()
    else:
        coordinator.on_lost(running.number, Failure(FailureKind.DISK_FULL, "no space left"))
    assert coordinator.running == []
    assert running.number in coordinator.going_on()
