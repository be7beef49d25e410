"""Faults 18 to 22, 25, 26 and 32: files and folders that change, break or have odd names around a search."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_runs import Watching, interrupted_at
from in_process import resume_locally, search_locally
from invariants import assert_nothing_lost, left_over
from one_by_one import ONE_BY_ONE, assert_goes_on_as_if_nothing_had_been
from programs import HELPERS, write_config
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_tasks import DigitsTask, search_config

import search
from search.cli.main import main
from search.config.document import write_yaml
from search.errors import ConfigError, SearchError
from search.run.events import EventKind
from search.run.outcome.summary import Summary
from search.run.search import search as run_search
from search.study.reading import read_records
from search.study.study import JOURNAL
from trainables.checkpoints.checkpoint import (
    REASON,
    checkpoint_folder,
    list_damaged,
    sha256,
)
from trainables.options import TrialOptions

# 18


def test_an_edited_configuration_is_refused_with_the_difference_and_the_way_out(
    interrupted: Path, tmp_path: Path
) -> None:
    trial = search_config()["trial"] | {"batch_size": 32}
    file = write_config(tmp_path, **ONE_BY_ONE, trial=trial)
    before = (interrupted / JOURNAL).read_bytes()
    with pytest.raises(ConfigError) as refused:
        search_locally(file, results=tmp_path)
    difference, way_out = str(refused.value).splitlines()
    assert difference.startswith(f"{file}")
    assert difference.endswith("trial.batch_size: was 16 when this search began and is 32 now")
    assert f"`tune-search resume {interrupted} --config {file} --local` takes them for new trials" in way_out
    assert (interrupted / JOURNAL).read_bytes() == before

    # What it says, with more trials and more time besides.
    more = {"trials": 8, "max_virtual_epochs": 3, "time": "1h"}
    file = write_config(tmp_path, **ONE_BY_ONE | {"budget": more}, trial=trial)
    assert resume_locally(interrupted, config=file).status == "complete"
    records = read_records(interrupted / JOURNAL)
    assert [r.resolved.options["batch_size"] for r in records] == [16] * 4 + [32] * 4
    assert_nothing_lost(interrupted)


def test_an_edited_configuration_with_more_trials_and_time_goes_through(
    interrupted: Path, tmp_path: Path
) -> None:
    more = {"trials": 8, "max_virtual_epochs": 3, "time": "1h", "steps": 10_000}
    file = write_config(tmp_path, **ONE_BY_ONE | {"budget": more})
    assert search_locally(file, results=tmp_path).trials == 8
    assert_nothing_lost(interrupted)


# 19


def test_other_versions_and_other_code_are_said_and_the_search_goes_on(
    interrupted: Path, undisturbed: Summary
) -> None:
    file = interrupted / "provenance.json"
    sessions = json.loads(file.read_text())["sessions"]
    now = sessions[-1]["versions"]["torch"]
    sessions[-1]["versions"]["torch"] = "1.0.0"
    sessions[-1]["task"]["sha256"] = "0" * 64
    file.write_text(json.dumps({"sessions": sessions}))
    lines = assert_goes_on_as_if_nothing_had_been(interrupted, undisturbed).lines
    told = [line for line in lines if line.startswith("since this search was last run: ")]
    assert [line.partition(": ")[2] for line in told] == [
        f"torch was 1.0.0 and is {now} now",
        f"the code of tiny_tasks:DigitsTask in {HELPERS / 'tiny_tasks.py'} has changed",
    ]
    assert [s["versions"]["torch"] for s in json.loads(file.read_text())["sessions"]] == ["1.0.0", now]


# 20


def test_a_moved_run_goes_on_from_another_folder_with_its_relative_data_and_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Summary
) -> None:
    home = place_with_task_and_data(tmp_path / "home")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(home)
    first = search_locally("digits.yaml", results="results", reporter=interrupted_at(3, 1))
    assert first.status == "interrupted"
    moved = Path(shutil.move(home / "results" / "digits", tmp_path / "moved"))
    in_a_new_process_at(tmp_path / "elsewhere", home, monkeypatch)
    assert resume_locally("../moved").status == "complete"
    assert_nothing_lost(moved)
    values = [[r.values for r in read_records(run / JOURNAL)] for run in (Path(undisturbed.folder), moved)]
    assert values[0] == values[1]
    assert search.export("../moved").value == undisturbed.best.value

    # The place itself too: what is relative is looked for where the command is given.
    in_a_new_process_at(home.rename(tmp_path / "new home"), home, monkeypatch)
    done = search.retrain("../moved/export", from_scratch=True)
    assert done.export.value == undisturbed.best.value


def place_with_task_and_data(folder: Path) -> Path:
    """A folder as people have it: a configuration, a module with the task, the data."""
    folder.mkdir()
    (folder / "stored_digits.py").write_text("from faulty_runs import StoredDigitsTask as Digits\n")
    np.savez(folder / "digits.npz", **DigitsTask.load_data(TrialOptions()))
    trial = search_config()["trial"] | {"data": {"file": "digits.npz"}}
    write_config(folder, **ONE_BY_ONE, task="stored_digits:Digits", trial=trial)
    return folder


def in_a_new_process_at(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be in another folder, knowing nothing of the modules at home."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    sys.path.remove(str(home))
    del sys.modules["stored_digits"]


# 21


def test_damaged_checkpoints_are_set_aside_and_the_ones_before_are_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Four trials of two virtual epochs go on, each with another damage to its newest checkpoint."""
    config = search_config(
        trial={"optimizer": {"name": "adamw", "lr": {"choice": [1e-3, 2e-3, 5e-3, 1e-2]}}, "batch_size": 16},
        sampler={"name": "grid"},
        scheduler={"name": "none"},
        budget={"trials": 4, "max_virtual_epochs": 2},
        checkpoint={"keep_trials": 4, "keep": 3},
        resources=ONE_BY_ONE["resources"],
    )
    calm, run = tmp_path / "calm", tmp_path / "digits"
    shutil.copytree(search_locally(config, results=tmp_path).folder, calm)
    executed = tmp_path / "executed"
    damages = (truncate, flip_one_bit, delete, lambda checkpoint: replace_by_pickle(checkpoint, executed))
    for number, damage in enumerate(damages):
        damage(checkpoint_folder(run / "trials" / f"{number:04d}", 2))

    watching = Watching()
    for folder in (calm, run):
        resume_locally(folder, overrides=["budget.max_virtual_epochs=4"], reporter=watching)
    notes = [event.text for event in watching.events if event.kind is EventKind.MESSAGE]
    reasons = [r"model\.safetensors: SHA-256 is .*", r"state\.pt: SHA-256 is .*"]
    reasons += [r"state\.pt: No such file or directory", r"state\.pt: cannot be read \(UnpicklingError\)"]
    assert len(notes) == 4
    for number, reason in enumerate(reasons):
        pattern = rf"checkpoint_000002 is damaged \({reason}\) and was set aside; the one before is used"
        assert any(re.fullmatch(pattern, note) for note in notes), (pattern, notes)
        (aside,) = list_damaged(run / "trials" / f"{number:04d}")
        assert aside.name == "damaged_000002"
        assert re.fullmatch(reason, (aside / REASON).read_text().strip())
    assert not executed.exists()
    assert outcomes(calm) == outcomes(run)
    assert_nothing_lost(run)


def truncate(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)


def flip_one_bit(checkpoint: Path) -> None:
    content = bytearray((checkpoint / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (checkpoint / "state.pt").write_bytes(content)


def delete(checkpoint: Path) -> None:
    (checkpoint / "state.pt").unlink()


class Executes:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._file),)


def replace_by_pickle(checkpoint: Path, executed: Path) -> None:
    """A pickle that runs code, and a manifest whose sums vouch for it."""
    (checkpoint / "state.pt").write_bytes(pickle.dumps(Executes(executed)))
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"]["state.pt"]["sha256"] = sha256(checkpoint / "state.pt")
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True)
    manifest["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def outcomes(run: Path) -> list[Any]:
    """Values and end of each trial, and the sum of its last weights."""
    found = []
    for record in read_records(run / JOURNAL):
        newest = checkpoint_folder(run / "trials" / f"{record.number:04d}", record.depth)
        found.append((record.values, record.outcome, sha256(newest / "model.safetensors")))
    return found


# 22


def test_what_a_killed_process_left_half_done_is_dropped(
    interrupted: Path, undisturbed: Summary, caplog: pytest.LogCaptureFixture
) -> None:
    journal = interrupted / JOURNAL
    content = journal.read_bytes()
    last_report = content.rfind(b'"intermediate_value"')
    journal.write_bytes(content[:last_report])
    half = last_report - content.rfind(b"\n", 0, last_report) - 1
    (interrupted / ".config.yaml.partial").write_text("name: dig")
    for record in read_records(interrupted / JOURNAL):
        trial = interrupted / "trials" / f"{record.number:04d}"
        (trial / ".checkpoint_000001.removed.partial").mkdir()
    assert_goes_on_as_if_nothing_had_been(interrupted, undisturbed)
    assert f"{journal} ended in half a line of {half} bytes, which is dropped" in caplog.text


# 25


@pytest.mark.usefixtures("ray_session")
def test_more_cpus_and_gpus_than_there_are_is_one_error_before_any_trial(tmp_path: Path) -> None:
    budget = {"trials": 1, "max_virtual_epochs": 1}
    config = search_config(resources={"cpus_per_trial": 3, "gpus_per_trial": 1}, budget=budget)
    with pytest.raises(SearchError) as refused:
        run_search(config, results=tmp_path)
    lacking = "cpus_per_trial is 3, there are 2"
    assert str(refused.value).startswith(f"resources: {lacking}. Ask for less with --set")
    run = tmp_path / "digits"
    assert not (run / JOURNAL).exists()
    assert left_over(run) == []
    less = ["resources.cpus_per_trial=2", "resources.gpus_per_trial=0"]
    search_locally(config, results=tmp_path, overrides=less)
    assert_nothing_lost(run)


# 26


def test_categories_of_any_kind_give_short_plain_names_of_files(tmp_path: Path) -> None:
    labels = ["a/b\\c", "../../..", "x" * 300, "学習率: 高い"]
    config = search_config(
        trial={"model": {"label": {"choice": labels}}, "batch_size": 16},
        sampler={"name": "grid"},
        budget={"trials": 4, "max_virtual_epochs": 1},
        resources=ONE_BY_ONE["resources"],
    )
    run = Path(search_locally(config, results=tmp_path / "results").folder)
    assert [path.name for path in sorted((run / "trials").iterdir())] == ["0000", "0001", "0002", "0003"]
    assert [r.resolved.params["model.label"] for r in read_records(run / JOURNAL)] == labels
    for path in run.rglob("*"):
        assert re.fullmatch(r"[\w.-]{1,100}", path.name, re.ASCII), path
    for number in range(4):
        events = EventAccumulator(str(run / "trials" / f"{number:04d}")).Reload()
        assert len(events.Scalars("best/accuracy")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert_nothing_lost(run)


# 32


def test_an_export_that_is_killed_leaves_nothing_or_the_whole_and_gives_the_same_again(
    undisturbed: Summary, tmp_path: Path
) -> None:
    command = [sys.executable, str(HELPERS / "killed_exports.py"), undisturbed.folder, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 25


# And what was found on the way.


def test_a_kill_while_yaml_is_written_leaves_nothing_after_the_next_writing(tmp_path: Path) -> None:
    code = f"""
import os, signal
os.replace = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
from search.config.document import write_yaml
write_yaml({str(tmp_path / "config.yaml")!r}, {{"name": "digits"}})
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    write_yaml(tmp_path / "config.yaml", {"name": "digits"})
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_file_that_ends_too_early_is_no_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Click takes an EOFError for Ctrl-D."""
    (tmp_path / "digits.npz").write_bytes(b"")
    trial = {"data": {"file": "digits.npz"}}
    file = write_config(tmp_path, task="faulty_runs:StoredDigitsTask", trial=trial)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["check", str(file)])
    assert left.value.code == 1
    assert "EOFError: No data left in file" in capsys.readouterr().err
