"""A search that continues with another space for new trials, and one with a large study."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from decisions import assert_decisions
from grown_searches import (
    LENGTHS,
    RANDOM,
    asking,
    assert_alike_when_killed,
    assert_told_once,
    entries,
)
from optuna.storages.journal._storage import JournalOperation
from simulated_search import (
    FLAT_SPACE,
    Simulation,
    by_number,
    config_of,
    num_lines,
    open_study,
)

from search.config.stages import load_config
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import Outcome, TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")


# --- another space for new trials

WIDER = {
    "model": {"hidden": {"choice": [4, 16, 32]}},
    "optimizer": {
        "choice": [
            {"name": "sgd", "lr": {"loguniform": [1e-2, 10.0]}, "momentum": 0.9},
            {"name": "rmsprop", "lr": {"loguniform": [1e-5, 1e-1]}},
        ]
    },
    "batch_size": {"choice": [8, 16]},
}
"""SPACE with a category less and one more, an option renamed, a range moved, fixed and searched exchanged."""


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_after_a_change_of_the_space_old_trials_stay_and_new_ones_come_from_it(
    tmp_path: Path, sampler: str
) -> None:
    folder = tmp_path / "grown"
    options = {"name": sampler, "startup_trials": 3}
    Simulation(folder, asking(6, sampler=options)).run()
    before = {r.number: r.resolved for r in read_records(folder / JOURNAL)}
    lines = num_lines(folder)
    changed = asking(12, space=WIDER, sampler=options)
    grown = Simulation(folder, changed).run()
    assert {r.number: r.resolved for r in grown.records[:6]} == before
    assert {r.space_number for r in grown.records[:6]} == {0}
    assert {r.space_number for r in grown.records[6:]} == {1}
    new = [r.resolved.options for r in grown.records[6:]]
    assert all(set(tree) == {"model", "optimizer", "batch_size"} for tree in new)
    assert {tree["model"]["hidden"] for tree in new} <= {4, 16, 32}
    assert {tree["optimizer"]["name"] for tree in new} <= {"sgd", "rmsprop"}
    assert {tree["batch_size"] for tree in new} == {8, 16}
    assert_told_once(folder, grown.records)
    assert_decisions(folder, changed)
    assert_alike_when_killed(folder, lines, changed, stride=7)


def test_a_space_that_comes_back_is_not_taken_for_another_one(tmp_path: Path) -> None:
    for number, space in enumerate([FLAT_SPACE, WIDER, FLAT_SPACE, WIDER]):
        study = open_study(tmp_path, config_of(space, sampler=RANDOM))
        assert study.space_number == number % 2
        study.ask()
    assert [r.space_number for r in read_records(tmp_path / JOURNAL)] == [0, 1, 0, 1]
    assert sum(name.startswith("space/") for name in study.study.user_attrs) == 2


def test_numbers_and_truth_values_are_not_taken_for_each_other(tmp_path: Path) -> None:
    spaces = [FLAT_SPACE | {"data": {"shuffle": value}} for value in (1, True, 1.0)]
    for space in spaces:
        open_study(tmp_path, config_of(space, sampler=RANDOM)).ask()
    assert [r.space_number for r in read_records(tmp_path / JOURNAL)] == [0, 1, 2]
    found = [r.resolved.options["data"]["shuffle"] for r in read_records(tmp_path / JOURNAL)]
    assert [type(value) for value in found] == [int, bool, float]


_WRITTEN = """
name: digits
task: tiny_tasks:DigitsTask
objective: {metric: accuracy, mode: max}
trial:
  data:
    names: {"0": zero, "1": [1e-4, yes, "1e-4", null, ~, 010, 2026-01-01], "true": no, "1e-4": .5}
    text: "a: b # c\\n  d é 字"
    where: ${env:HOME}/data
  model: {hidden: {choice: [8, null, "8 ", true, 0.5]}}
  optimizer: {name: adamw, lr: {quniform: [0.1, 0.9, 0.1]}}
  batch_size: 16
virtual_epoch: {steps: 5}
budget: {trials: 9, max_virtual_epochs: 1}
"""


def test_options_written_with_all_that_yaml_has_are_the_same_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(_WRITTEN)
    config = load_config(tmp_path / "run.yaml").first
    study = open_study(tmp_path, config)
    for _ in range(9):
        study.ask()
    written = (tmp_path / JOURNAL).read_bytes()
    again = open_study(tmp_path, load_config(tmp_path / "run.yaml").first)
    assert (tmp_path / JOURNAL).read_bytes() == written
    for record, old in zip(again.records, study.records, strict=True):
        assert record.resolved == old.resolved
        assert repr(record.resolved.options) == repr(old.resolved.options)
    assert study.records[0].resolved.options["data"]["where"] == "${env:HOME}/data"


# --- large studies


def test_a_study_of_1000_trials_is_gone_on_with_in_seconds(tmp_path: Path) -> None:
    config = config_of(FLAT_SPACE, sampler={"name": "tpe"}, budget={"trials": 1001, "max_virtual_epochs": 9})
    Simulation(tmp_path, config, by_number([0.5])).run(max_reports=1)
    study = open_study(tmp_path, config)
    for value in (0.6, 0.7):
        study.report(study.records[0], value, LENGTHS, seconds=1.0)
    study.finish(
        study.records[0], Outcome.STOPPED, "paused at virtual epoch 3, not promoted", stopped_by_budget=True
    )
    _multiply_trial(tmp_path, 1000)
    began = time.process_time()
    simulation = Simulation(tmp_path, config)
    # First one is promoted that was paused to the end; then tpe draws, from 1000 trials.
    promoted = simulation.coordinator.next_job()
    assert isinstance(promoted, TrialRecord)
    assert promoted.number < 1000
    assert simulation.study.ask().number == 1000
    # It takes 1 s on two slow cores; what grows with the square of the trials would take minutes.
    assert time.process_time() - began < 10


def _multiply_trial(folder: Path, count: int) -> None:
    """Make a journal of one trial one of so many, each with parameters and values of its own."""
    head, one = [], []
    for entry in entries(folder):
        of_study = entry["op_code"] <= JournalOperation.SET_STUDY_USER_ATTR
        (head if of_study else one).append(entry)
    with (folder / JOURNAL).open("w") as file:
        for entry in head:
            file.write(json.dumps(entry) + "\n")
        for number in range(count):
            for entry in one:
                entry["trial_id"] = number
                if "params" in entry:
                    entry["user_attrs"]["trial"] = number
                    entry["params"]["optimizer.lr"] = 1e-4 * 1.006**number
                if "intermediate_value" in entry:
                    entry["intermediate_value"] = number % 7 / 7
                file.write(json.dumps(entry) + "\n")
