"""What a run may be gone on with, and what is said of what has changed around it; no search is run here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import search_config

from search.changes import record_config, refuse_other_problem
from search.config import Config, load_config
from search.errors import ConfigError
from search.provenance import record_provenance, working_folder
from search.run_folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run that has begun."""
    folder = RunFolder(tmp_path / "digits")
    folder.create()
    record_config(load_config(search_config()), folder, growing=False)
    folder.journal.touch()
    return folder


def changed(*overrides: str) -> Config:
    return load_config(search_config(), overrides)


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize(
    "override",
    [
        "budget.trials=50",
        "budget.virtual_epochs=27",
        "budget.time=2h",
        "resources.cpus_per_trial=2",
        "checkpoint.keep_trials=9",
        "timeout=10m",
        "sampler.initial=[{optimizer: {lr: 1e-3}}]",
    ],
)
def test_limits_and_how_it_runs_may_always_change(folder: RunFolder, override: str, growing: bool) -> None:
    config = changed(override)
    record_config(config, folder, growing=growing)
    assert load_config(folder.config).raw == config.raw


@pytest.mark.parametrize(
    "override",
    ["trial.batch_size=32", "trial.model.hidden={choice: [64]}", "sampler.name=random", "scheduler.grace=3"],
)
def test_what_new_trials_are_changes_only_when_that_is_asked_for(folder: RunFolder, override: str) -> None:
    before = folder.config.read_bytes()
    with pytest.raises(ConfigError, match="when this search began and is"):
        record_config(changed(override), folder, growing=False)
    assert folder.config.read_bytes() == before
    record_config(changed(override), folder, growing=True)
    assert folder.config.read_bytes() != before


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("objective.mode=min", "objective.mode: was 'max' when this search began and is 'min' now"),
        ("virtual_epoch.steps=6", "virtual_epoch.steps: was 5 when this search began and is 6 now"),
        ("trial.data={rows: 9}", "trial.data: was None when this search began and is {'rows': 9} now"),
        ("task=tiny_tasks:FailingTask", "task: was 'tiny_tasks:DigitsTask' when this search began"),
        ("budget.virtual_epochs=8", "budget.virtual_epochs: received 8; a search that goes on may only grow"),
    ],
)
def test_what_makes_values_incomparable_never_changes(folder: RunFolder, override: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        record_config(changed(override), folder, growing=True)
    assert told in str(refused.value)


def test_a_file_is_named_with_the_command_that_takes_it(folder: RunFolder, tmp_path: Path) -> None:
    file = tmp_path / "wider.yaml"
    file.write_text(json.dumps(search_config() | {"trial": {"batch_size": 32}}))
    with pytest.raises(ConfigError) as refused:
        record_config(load_config(file), folder, growing=False)
    assert f"`tune-search resume {folder.path} --config {file}` takes them for new trials" in str(
        refused.value
    )


def test_an_older_run_of_another_problem_teaches_nothing() -> None:
    refuse_other_problem(changed("trial.model.hidden={choice: [64]}", "budget.trials=3"), changed())
    with pytest.raises(ConfigError, match=r"virtual_epoch.steps: is 6, and in the older run it is 5"):
        refuse_other_problem(changed("virtual_epoch.steps=6"), changed())


def test_a_second_start_is_recorded_only_if_something_has_changed(folder: RunFolder) -> None:
    assert record_provenance(changed(), folder) == []
    first = folder.provenance.read_bytes()
    assert record_provenance(changed(), folder) == []
    assert folder.provenance.read_bytes() == first
    assert sessions(folder)[0]["task"]["file"].endswith("tests/tiny_tasks.py")


def test_other_versions_are_said_with_both(folder: RunFolder) -> None:
    record_provenance(changed(), folder)
    edited = sessions(folder)
    edited[0]["versions"] |= {"torch": "2.0.0", "flash": "1.0"}
    folder.provenance.write_text(json.dumps({"sessions": edited}))
    torch = next(iter(record_provenance(changed(), folder)[1:]))
    assert torch.startswith("torch was 2.0.0 and is ")
    assert len(sessions(folder)) == 2
    assert "flash was 1.0 and is not there now" not in record_provenance(changed(), folder)


def test_a_run_is_at_home_where_it_was_started_as_long_as_that_is_there(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(home)
    record_provenance(changed(), folder)
    monkeypatch.chdir(elsewhere)
    with working_folder(folder):
        assert Path.cwd() == home
    assert Path.cwd() == elsewhere
    home.rmdir()
    with working_folder(folder):
        assert Path.cwd() == elsewhere


@pytest.mark.parametrize("content", ["", "{", '{"sessions": 3}', "[]"])
def test_a_broken_record_is_begun_anew(folder: RunFolder, content: str) -> None:
    folder.provenance.write_text(content)
    assert record_provenance(changed(), folder) == []
    assert len(sessions(folder)) == 1


def sessions(folder: RunFolder) -> list[dict[str, Any]]:
    return json.loads(folder.provenance.read_text())["sessions"]
