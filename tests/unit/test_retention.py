"""Which trials keep their checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_search import Simulation
from tiny_tasks import search_config

from search.config.stages import load_config
from search.run.disk.folder import RunFolder
from search.run.retention import CheckpointRetention, trials_to_keep
from search.space.parse import parse_space
from search.study.front import front_of
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord
from trainables.checkpoints.checkpoint import checkpoint_bytes, checkpoint_folder

pytestmark = pytest.mark.usefixtures("no_fsync")

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


def test_a_running_trial_takes_no_checkpoint_from_the_front_of_those_that_have_ended(tmp_path: Path) -> None:
    """It beats one that has ended now, but with its next value it may leave the front again."""
    objectives = [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]
    sections = search_config(
        objectives=objectives,
        budget={"trials": 3, "max_virtual_epochs": 2},
        checkpoint={"keep_trials": 1},
        scheduler={"name": "none"},
        sampler={"name": "random"},
    )
    del sections["objective"]
    config = load_config(sections).first
    simulation, folder = Simulation(tmp_path, config), RunFolder(tmp_path)
    study = simulation.study
    accuracy, size = (0.9, 0.5, 0.6, 0.4), (900.0, 500.0, 400.0, 600.0)
    for number in range(4):
        asked = study.ask()
        study.measure(asked, {"parameters": size[number]})
        study.report(asked, accuracy[number], simulation.lengths(asked), 1)
        if number != 2:
            study.finish(asked, Outcome.COMPLETED, "full length")
        saved = checkpoint_folder(folder.trial(number), 1)
        saved.mkdir(parents=True)
        (saved / "state.pt").write_bytes(b"x")
    front = front_of(study.records, config.objectives or ())
    assert [each.number for each in front] == [0, 2]  # the running one beats trial 1
    CheckpointRetention(simulation.coordinator, config, folder, print).sweep()
    assert [number for number in range(4) if checkpoint_bytes(folder.trial(number))] == [0, 1, 2]
