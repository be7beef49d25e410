"""What a run may be gone on with, and what is refused with the difference and the way out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import search_config

from search.config.document import write_yaml
from search.config.stages import SearchConfig, load_config
from search.errors import ConfigError
from search.run.before.changes import record_config, refuse_other_problem
from search.run.disk.folder import RunFolder

DATA = {"data": {"root": "/data/a"}}
BASE = search_config(
    trial={**search_config()["trial"], **DATA}, budget={"trials": 9, "max_virtual_epochs": 9}
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that began with BASE."""
    folder = RunFolder(tmp_path / "digits")
    folder.create()
    folder.journal.touch()
    record_config(load_config(BASE), folder, growing=False)
    return folder


def changed(changes: dict[str, Any]) -> SearchConfig:
    """BASE with other values at dotted paths; ... removes one."""
    tree = copy.deepcopy(BASE)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return load_config(tree)


def refusal(config: SearchConfig, run: RunFolder, *, growing: bool = False) -> list[str]:
    """The lines of the refusal; config.yaml stays as it was."""
    before = run.config.read_bytes()
    with pytest.raises(ConfigError) as caught:
        record_config(config, run, growing=growing)
    assert run.config.read_bytes() == before
    return str(caught.value).splitlines()


def assert_taken(config: SearchConfig, run: RunFolder, *, growing: bool = False) -> None:
    record_config(config, run, growing=growing)
    assert load_config(run.config).raw == config.raw


ALWAYS = {
    "more trials": {"budget.trials": 12},
    "fewer trials": {"budget.trials": 4},
    "longer trials": {"budget.max_virtual_epochs": 12},
    "a time limit": {"budget.time": "2h"},
    "a step limit": {"budget.steps": 1000},
    "other resources": {"resources": {"cpus_per_trial": 2, "concurrent_trials": 1}},
    "other checkpoints": {"checkpoint": {"keep": 5, "keep_trials": 1, "every": 2}},
    "another patience with failures": {"max_failures": 7, "max_failed_trials": 1, "timeout": "1h"},
    "known points": {"sampler.points_to_evaluate": [{"optimizer.lr": 0.01}]},
    "another name": {"name": "digits-2"},
}
GROWING = {
    "another domain": {"trial.optimizer.lr": {"loguniform": [1e-5, 1.0]}},
    "another kind of domain": {"trial.optimizer.lr": {"uniform": [0.001, 0.01]}},
    "a value in place of a domain": {"trial.model.hidden": 16},
    "a value that was not there": {"trial.clip_norm": 1.0},
    "one that is not there any more": {"trial.batch_size": ...},
    "another sampler": {"sampler": {"name": "random", "seed": 3}},
    "another scheduler": {"scheduler": {"name": "none"}},
    "another rung": {"scheduler": {"name": "asha", "grace_period": 2}},
}
NEVER = {
    "another metric": {"objective.metric": "valid_loss"},
    "another mode": {"objective.mode": "min"},
    "another task": {"task": "tiny_tasks:FailingTask"},
    "another virtual epoch": {"virtual_epoch.steps": 6},
    "another unit": {"virtual_epoch": {"samples": 80}},
    "other data": {"trial.data.root": "/data/b"},
    "data with more options": {"trial.data.size": 32},
    "no data": {"trial.data": ...},
}


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("what", ALWAYS)
def test_how_a_search_runs_may_always_change(run: RunFolder, what: str, growing: bool) -> None:
    assert_taken(changed(ALWAYS[what]), run, growing=growing)


@pytest.mark.parametrize("what", GROWING)
def test_what_new_trials_are_changes_only_where_that_is_asked_for(run: RunFolder, what: str) -> None:
    config = changed(GROWING[what])
    *differences, way_out = refusal(config, run)
    (path,) = GROWING[what]
    assert all(line.startswith(f"config: {path.split('.')[0]}") for line in differences)
    assert "when this search began and is" in differences[0]
    assert way_out == f"{run.path}: for another search take another name, or remove {run.path}"
    assert_taken(config, run, growing=True)


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("what", NEVER)
def test_what_makes_trials_comparable_never_changes(run: RunFolder, what: str, growing: bool) -> None:
    *differences, way_out = refusal(changed(NEVER[what]), run, growing=growing)
    (path,) = NEVER[what]
    assert differences[0].startswith(f"config: {path}")
    assert way_out.endswith(f"for another search take another name, or remove {run.path}")
    assert "tune-search resume" not in way_out


def test_the_difference_stands_with_both_values_and_the_file(run: RunFolder, tmp_path: Path) -> None:
    file = tmp_path / "digits.yaml"
    write_yaml(file, changed({"trial.model.hidden": 64, "budget.trials": 12}).raw)
    assert refusal(load_config(file), run) == [
        f"{file}: trial.model.hidden: was {{choice: [8, 16, 32]}} when this search began and is 64 now",
        f"{run.path}: `tune-search resume {run.path} --config {file}` takes them for new trials; "
        f"for another search take another --name, as in "
        f"`tune-search {file} --name digits-2 --results {tmp_path}`, "
        f"or remove {run.path}",
    ]


def test_all_differences_are_told_at_once_and_one_that_can_never_be_is_no_growth(
    run: RunFolder, tmp_path: Path
) -> None:
    file = tmp_path / "digits.yaml"
    write_yaml(file, changed({"objective.metric": "valid_loss", "trial.batch_size": 32}).raw)
    lines = refusal(load_config(file), run)
    assert [line.split(": ")[1] for line in lines[:-1]] == ["objective.metric", "trial.batch_size"]
    assert "resume" not in lines[-1]


def test_trials_are_not_made_shorter(run: RunFolder) -> None:
    shorter = changed({"budget.max_virtual_epochs": 5})
    expected = [
        "config: budget.max_virtual_epochs: received 5; must be at least 9, the full length so far: trials cannot be shortened"  # noqa: E501
    ]
    for growing in (False, True):
        assert refusal(shorter, run, growing=growing) == expected


def test_what_counts_is_what_the_run_was_last_given(run: RunFolder) -> None:
    record_config(changed({"budget.max_virtual_epochs": 20}), run, growing=False)
    assert refusal(changed({}), run) == [
        "config: budget.max_virtual_epochs: received 9; must be at least 20, the full length so far: trials cannot be shortened"  # noqa: E501
    ]
    record_config(changed({"budget.max_virtual_epochs": 20, "trial.batch_size": 32}), run, growing=True)
    assert refusal(changed({"budget.max_virtual_epochs": 20}), run)


def test_before_the_first_trial_all_may_change(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "digits")
    folder.create()
    record_config(load_config(BASE), folder, growing=False)
    assert_taken(changed({"objective.metric": "valid_loss", "budget.max_virtual_epochs": 1}), folder)


def test_a_search_of_before_first_rungs_were_measured_goes_on_with_that(run: RunFolder) -> None:
    written = run.config.read_text(encoding="utf-8")
    run.config.write_text(written.replace("grace_period: auto", "grace_period: 1"), encoding="utf-8")
    assert written != run.config.read_text(encoding="utf-8")
    assert_taken(changed({}), run)
    assert "grace_period: auto" in run.config.read_text(encoding="utf-8")


def test_defaults_written_out_are_no_change(run: RunFolder) -> None:
    assert_taken(changed({"scheduler": {"name": "asha", "grace_period": "auto"}, "max_failures": 2}), run)


def test_a_reference_to_the_environment_is_compared_as_written(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOT_OF_TEST", "/data/a")
    lines = refusal(changed({"trial.data.root": "${env:ROOT_OF_TEST}"}), run)
    assert lines[0] == (
        "config: trial.data.root: was '/data/a' when this search began and is '${env:ROOT_OF_TEST}' now"
    )


# The trials of another run


def test_an_older_run_is_taken_with_another_space_sampler_and_length() -> None:
    refuse_other_problem(
        changed({**GROWING["another domain"], "budget.max_virtual_epochs": 3}), load_config(BASE)
    )


@pytest.mark.parametrize("what", NEVER)
def test_an_older_run_with_another_problem_is_refused(what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_other_problem(changed(NEVER[what]), load_config(BASE))
    (path,) = NEVER[what]
    (line, *_) = str(caught.value).splitlines()
    assert line.startswith(f"config: {path}")
    assert line.endswith("; they must agree")
