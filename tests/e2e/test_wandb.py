"""A run in W&B's offline files: each value once, also after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from listed_runs import asked, begun
from patience import PATIENCE
from programs import HELPERS
from simulated_search import Simulation, noisy

import search
from search.followers.look import Look
from search.followers.wandb_file import read_offline
from search.run.disk.folder import RunFolder
from search.study.trial import TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")


def is_whole(folder: Path, records: list[TrialRecord]) -> None:
    """The files have each virtual epoch of each trial once, by its step, and how the trial ended."""
    trials = Look(RunFolder(folder)).take("").trials
    for record, trial in zip(records, trials, strict=True):
        held = read_offline(folder, trial.id)
        rows = [(row["_step"], row["accuracy"], row["virtual_epoch"]) for row in held.rows]
        values = enumerate(record.values, 1)
        assert rows == [(5 * number, value, number) for number, value in values]
        assert held.summary["state"] == trial.state


def test_each_value_is_there_once_however_often_the_run_is_written(tmp_path: Path) -> None:
    records = begun(tmp_path / "run", asked(), workers=2).run(max_reports=9).records
    done = search.log(tmp_path / "run", "wandb", project="digits")
    assert "`wandb sync " in done.place
    is_whole(tmp_path / "run", records)
    records = Simulation(tmp_path / "run", asked(), noisy(0), workers=2).run().records
    search.log(tmp_path / "run", "wandb", project="digits")
    is_whole(tmp_path / "run", records)
    files = sorted((tmp_path / "run/wandb").glob("*/*.wandb"))
    search.log(tmp_path / "run", "wandb", project="digits")
    assert sorted((tmp_path / "run/wandb").glob("*/*.wandb")) == files
    parent = read_offline(tmp_path / "run", Look(RunFolder(tmp_path / "run")).take("").search.id)
    best = [row["best_value"] for row in parent.rows]
    assert best == sorted(set(best))


def test_a_process_that_is_killed_after_a_write_is_gone_on_with(tmp_path: Path) -> None:
    records = begun(tmp_path / "run", asked(), workers=2).run().records
    command = [sys.executable, str(HELPERS / "killed_logger.py"), "9", str(tmp_path / "run"), "wandb"]
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    assert subprocess.run(command, check=False, env=own).returncode == -signal.SIGKILL
    search.log(tmp_path / "run", "wandb")
    is_whole(tmp_path / "run", records)


def test_a_row_that_is_larger_than_a_block_of_the_file_is_read(tmp_path: Path) -> None:
    import wandb

    long = "x" * 100_000
    with wandb.init(id="large", dir=tmp_path, settings=wandb.Settings(silent=True, console="off")) as run:
        for step in range(3):
            run.log({"text": f"{step}{long}"}, step=step)
    deadline = time.monotonic() + PATIENCE  # another process writes the file
    while (found := read_offline(tmp_path, "large")).last_step < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [row["text"] for row in found.rows] == [f"{step}{long}" for step in range(3)]
    assert found.last_step == 2
