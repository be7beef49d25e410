"""The commands that a search names to go on with do as the one that was given."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from programs import write_config
from tiny_tasks import search_config

from search.cli.main import main
from search.config.stages import load_config
from search.errors import ConfigError
from search.run.before.changes import record_config
from search.run.data.record import DataChangedError, take_data
from search.run.disk.folder import RunFolder
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor
from search.run.reporter import ProgressReporter
from search.run.sudden_end import SuddenEnd
from trainables.data.fingerprint import Fingerprint, Stamp

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ended(*words: str) -> int | str | None:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


def test_the_command_that_an_interrupted_local_search_prints_ends_it_as_it_was_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = {**search_config()["trial"], "data": {"pressed": str(tmp_path / "pressed")}}
    budget = {"trials": 2, "max_virtual_epochs": 2}
    file = write_config(tmp_path, task="tiny_tasks:InterruptedTask", trial=trial, budget=budget)
    assert ended(file.name, "--local", "--plain", "--results", "my runs", "--name", "a") == 130
    *_, before, hint = capsys.readouterr().out.splitlines()
    assert before == "continue with"
    assert hint == "  tune-search resume 'my runs/a' --local --plain"
    assert ended(*shlex.split(hint)[1:]) == 0
    assert "search complete" in capsys.readouterr().out


def test_an_executor_is_named_by_its_options() -> None:
    flags = [tuple(each.flags) for each in (LocalExecutor(), RayExecutor("auto"), RayExecutor())]
    assert flags == [("--local",), ("--address", "auto"), ()]


def test_a_search_whose_cluster_dies_goes_on_there(tmp_path: Path) -> None:
    executor = RayExecutor("10.0.0.1:6379")
    end = SuddenEnd(RunFolder(tmp_path / "a"), ProgressReporter(), executor.flags, executor.after_death)
    assert str(end.error("Ray is dead")).endswith(
        "continue with: tune-search resume a --address 10.0.0.1:6379"
    )


def test_other_searches_that_refusals_name_have_the_values_that_were_set(tmp_path: Path) -> None:
    file = write_config(tmp_path)
    folder = RunFolder(tmp_path / "out" / "digits")
    folder.create()
    folder.journal.touch()
    record_config(load_config(file), folder, growing=False)
    other = load_config(file.name, ["trial.batch_size=8", "budget.trials=3"])
    with pytest.raises(ConfigError) as error:
        record_config(other, folder, growing=False, flags=("--local",))
    set_again = "--set trial.batch_size=8 --set budget.trials=3"
    assert (
        f"`tune-search resume out/digits --config digits.yaml {set_again} --local` takes them for new trials"
        "; "
        f"for another search take another --name, as in `tune-search digits.yaml {set_again} --name digits-2 "
        "--results out --local`"
    ) in str(error.value)


def test_a_search_on_changed_data_goes_on_where_it_ran(tmp_path: Path) -> None:
    file = write_config(tmp_path)
    folder = RunFolder(tmp_path / "results" / "digits")
    folder.create()
    loaded = load_config(file.name, ["trial.batch_size=8"])
    record_config(loaded, folder, growing=False)
    folder.journal.touch()
    folder.data.write_bytes(Fingerprint({"table": {"t.csv": Stamp(9, 0, "9")}}).to_bytes())
    now = Fingerprint({"table": {"t.csv": Stamp(7, 0, "7")}})
    how: dict[str, Any] = {"accept": False, "note": print, "flags": ("--address", "auto")}
    with pytest.raises(DataChangedError) as error:
        take_data(loaded.first, folder, now, **how)
    *_, going_on, _, another = str(error.value).splitlines()
    assert going_on.startswith("  tune-search resume results/digits --accept-new-data --trials ")
    assert going_on.endswith(" --address auto")
    assert another.endswith("digits.yaml --set trial.batch_size=8 --name digits-2 --address auto")
