"""Budgets of compute where a search goes on, where nothing is known yet, and where no trial has a value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from simulated_search import FLAT_SPACE, NONE, Simulation, config_of
from tiny_tasks import search_config

from search.budget.growth import number, spent_of_limits
from search.budget.words import expected_trials
from search.config.config import Config
from search.config.document import read_values
from search.config.stages import load_config
from search.errors import ConfigError
from search.run.before.changes import record_config
from search.run.data.record import DataChangedError, take_data
from search.run.disk.folder import RunFolder
from search.run.events import Event, EventKind
from search.run.outcome.summary import summarize
from search.run.reporter import ProgressReporter
from search.run.retention import CheckpointRetention, space_needed
from search.run.search import search as run_search
from search.screen.texts.summary import summary_text
from search.study.data import change_data
from search.study.spent import read_spent
from search.study.trial import TrialRecord
from search.text import size_text
from trainables.checkpoints.checkpoint import checkpoint_folder
from trainables.data.fingerprint import Fingerprint, Stamp
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")
LENGTH = 9


class Notes(ProgressReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


# --- a limit of trials that a run began with


def short(**budget: Any) -> dict[str, Any]:
    return search_config(budget={"max_virtual_epochs": 1, **budget}, virtual_epoch={"steps": 1})


def test_a_run_that_began_with_a_number_of_trials_keeps_it_until_it_is_lifted(tmp_path: Path) -> None:
    run_search(short(trials=2, steps=4), results=tmp_path, local=True)
    again = Notes()
    summary = run_search(short(steps=4), results=tmp_path, local=True, reporter=again)
    assert summary.trials == 2
    [line] = [line for line in again.lines if "budget.trials" in line]
    assert "the limit of 2 trials that this search began with stands" in line
    assert read_values(tmp_path / "digits" / "config.yaml")["budget"]["trials"] == 2
    lifted = run_search(
        short(steps=4), overrides=["budget.trials=null"], results=tmp_path, local=True, reporter=again
    )
    assert lifted.trials == 4


def test_the_stages_of_a_run_keep_the_number_of_trials_that_it_began_with(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "digits")
    folder.create()
    stages = [{"name": "only"}]
    record_config(load_config({**short(trials=2, steps=4), "stages": stages}), folder, growing=False)
    folder.stages_path.mkdir()
    for budget, kept in (({}, 2), ({"trials": None}, None)):
        now = load_config({**short(steps=4, **budget), "stages": stages})
        record_config(now, folder, growing=False)
        assert read_values(folder.config)["budget"]["trials"] == kept


# --- while nothing is known of what a trial takes


@pytest.mark.parametrize("workers", [2, 3, 4])
@pytest.mark.parametrize(
    ("budget", "sections"),
    [
        ({"samples": 1600}, {}),
        ({"steps": 100}, {"virtual_epoch": {"samples": 80}}),
        ({"gpu_hours": 18 / 3600}, {"resources": {"gpus_per_trial": 1}}),
    ],
    ids=["samples", "steps", "gpu_hours"],
)
@pytest.mark.parametrize("rule", ["none", "asha"])
def test_workers_that_begin_at_once_leave_a_full_training(
    tmp_path: Path, rule: str, budget: dict[str, Any], sections: dict[str, Any], workers: int
) -> None:
    config = config_of(scheduler={"name": rule}, budget={"max_virtual_epochs": LENGTH, **budget}, **sections)
    simulation = Simulation(tmp_path, config, workers=workers).run()
    best = simulation.coordinator.best
    assert best is not None
    assert best.depth == LENGTH
    assert all(limit.spent <= limit.total for limit in simulation.coordinator.reserve.limits)
    # The others begin after the first report, not after the end of its trial.
    kinds = [kind for kind, *_ in simulation.events]
    assert [kinds.index(kind) for kind in (EventKind.STARTED, EventKind.REPORTED)] == [0, 1]
    assert EventKind.STARTED in kinds[: kinds.index(EventKind.ENDED)][1:]


def test_a_first_trial_that_fails_without_a_report_keeps_no_other_from_beginning(tmp_path: Path) -> None:
    config = config_of(scheduler=NONE, budget={"max_virtual_epochs": LENGTH, "samples": 1600})
    lost = lambda number, virtual_epoch, attempt: FailureKind.LASTING if number == 0 else None  # noqa: E731
    simulation = Simulation(tmp_path, config, workers=3, faults=lost).run()
    assert [record.depth for record in simulation.records] == [0, LENGTH, LENGTH]


# --- a grid


@pytest.mark.parametrize("audit", [1, 3])
def test_an_audit_of_a_grid_leaves_a_full_training_for_the_best(tmp_path: Path, audit: int) -> None:
    config = config_of(
        {**FLAT_SPACE, "optimizer": {"name": "adamw", "lr": {"choice": [1e-3, 1e-2, 1e-1, 0.2]}}},
        sampler={"name": "grid"},
        scheduler={"name": "asha", "audit": audit},
        budget={"full_trainings": audit + 1, "max_virtual_epochs": LENGTH},
    )
    simulation = Simulation(tmp_path, config).run()
    [limit] = simulation.coordinator.reserve.limits
    assert limit.spent <= limit.total
    whole = [record.number for record in simulation.records if record.depth == LENGTH]
    best = simulation.coordinator.best
    assert best is not None
    assert best.number in whole
    # A trial that is not audited does not need a full training to begin.
    assert len(simulation.records) > audit + 1


# --- trials without a value


def without_value(record: TrialRecord, virtual_epoch: int) -> float:
    return float("nan")


def test_a_search_that_gave_up_as_no_trial_had_a_value_goes_on_when_it_is_resumed(tmp_path: Path) -> None:
    config = config_of(budget={"full_trainings": 30, "max_virtual_epochs": LENGTH})
    # Killed in between, it gives up at the same trial.
    Simulation(tmp_path, config, without_value).run(max_reports=20)
    for count in (24, 48):
        again = Simulation(tmp_path, config, without_value).run()
        assert len(again.records) == count
        assert again.coordinator.gave_up
        assert "go on with other values under trial:" in str(again.coordinator.ending)
    better = Simulation(tmp_path, config).run()
    assert not better.coordinator.gave_up
    assert better.coordinator.best is not None
    assert better.coordinator.best.depth == LENGTH


def test_trials_of_another_space_do_not_count_among_those_without_a_value(tmp_path: Path) -> None:
    budget = {"full_trainings": 30, "max_virtual_epochs": LENGTH}
    Simulation(tmp_path, config_of(budget=budget), without_value).run(max_reports=20)
    again = Simulation(tmp_path, config_of(FLAT_SPACE, budget=budget), without_value).run()
    assert len(again.records) == 20 + 24


# --- what is spent, and what allows more


def begun(tmp_path: Path, budget: dict[str, Any], **simulated: Any) -> tuple[RunFolder, Config, Simulation]:
    """A search over LENGTH virtual epochs that has come to its end."""
    search = load_config(search_config(budget={"max_virtual_epochs": LENGTH, **budget}))
    folder = RunFolder(tmp_path / "digits")
    folder.create()
    simulation = Simulation(folder.path, search.first, **simulated).run()
    record_config(search, folder, growing=False)
    return folder, search.first, simulation


def of_rows(count: int) -> Fingerprint:
    return Fingerprint({"table": {"t.csv": Stamp(count, 0, f"{count}")}})


@pytest.mark.parametrize(
    "budget", [{"full_trainings": 3}, {"trials": 2, "full_trainings": 3}, {"trials": 2}], ids=str
)
def test_what_is_suggested_when_the_data_have_changed_trains_on_those_of_now(
    tmp_path: Path, budget: dict[str, Any]
) -> None:
    folder, config, _ = begun(tmp_path, budget)
    folder.data.write_bytes(of_rows(9).to_bytes())
    change_data(folder.journal, of_rows(9).sha256)
    with pytest.raises(DataChangedError) as refused:
        take_data(config, folder, of_rows(7), accept=False, note=lambda line: None)
    [suggested] = re.findall(r"--accept-new-data (.*)", str(refused.value))
    values = re.findall(r"budget[.]\w+=\S+", suggested.replace("--trials ", "budget.trials="))
    assert [value.partition("=")[0] for value in values] == [f"budget.{key}" for key in budget]
    take_data(config, folder, of_rows(7), accept=True, note=lambda line: None)
    nothing = Simulation(folder.path, config).run()
    num_before = len(nothing.records)
    summary = summarize(nothing.coordinator, folder, "accuracy", "complete", "")
    assert suggested in " ".join(summary_text(summary).split())
    more = Simulation(folder.path, load_config(folder.config, values).first).run()
    assert len(more.records) > num_before
    best = more.coordinator.best
    assert best is not None
    assert (best.of_other_data, best.depth) == (False, LENGTH)


def test_what_is_spent_is_the_same_for_the_search_and_for_a_new_limit(tmp_path: Path) -> None:
    lost = lambda number, virtual_epoch, attempt: (  # noqa: E731
        FailureKind.LASTING if number % 2 and virtual_epoch == 1 else None
    )
    budget = {"full_trainings": 3, "steps": 10**6, "samples": 10**6}
    folder, config, simulation = begun(tmp_path, budget, faults=lost)
    limits = {limit.key: limit.spent for limit in simulation.coordinator.reserve.limits}
    spent = spent_of_limits(read_spent(folder.journal), config)
    num_lost = sum(record.depth == 0 for record in simulation.records)
    assert num_lost > 0
    assert spent["full_trainings"] * LENGTH == pytest.approx(limits["full_trainings"])
    assert (spent["steps"], spent["samples"]) == (limits["steps"], limits["samples"])
    assert limits["steps"] == simulation.coordinator.steps + 5 * num_lost
    with pytest.raises(ConfigError, match=r"budget.steps: received .*must be above"):
        record_config(
            load_config(folder.config, [f"budget.steps={int(limits['steps'])}"]), folder, growing=True
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (2.5, "2.5"), (1.111, "1.12"), (12345.671, "12345.68"), (1e6 + 0.001, "1000000.01")],
)
def test_a_suggested_number_is_never_rounded_down(value: float, text: str) -> None:
    assert number(value) == text


def test_the_warning_of_a_full_disk_knows_the_audit(tmp_path: Path) -> None:
    """The one checkpoint is a sparse file."""
    size = 2**40
    for audit in (0, 3):
        config = config_of(
            scheduler={"name": "asha", "audit": audit},
            budget={"full_trainings": 6, "max_virtual_epochs": LENGTH},
        )
        folder, warnings = RunFolder(tmp_path / f"{audit}"), list[str]()
        simulation = Simulation(folder.path, config).run(max_reports=1)
        checkpoint = checkpoint_folder(folder.trial(0), 1)
        checkpoint.mkdir(parents=True)
        with (checkpoint / "model").open("wb") as file:
            file.truncate(size)
        search = simulation.coordinator
        event = Event(EventKind.REPORTED, search.study.records[0], {}, "")
        CheckpointRetention(search, config, folder, warnings.append).event(event)
        lengths = search.study.records[0].lengths
        trials = expected_trials(config.budget, search.scheduler, lengths, 6, audit)
        needed = space_needed(config, search.scheduler, 1, size, trials)
        assert f"need up to {size_text(needed)}," in warnings[0]
