"""A run in Trackio's database: each value once, also after a kill."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from listed_runs import asked, begun
from programs import HELPERS
from simulated_search import Simulation, noisy

from search.followers.look import Look
from search.run.disk.folder import RunFolder
from search.study.trial import TrialRecord
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


def logged(folder: Path, project: str = "digits") -> str:
    """What `tune-search log` says; Trackio takes its folder from the environment when it is imported."""
    command = [sys.executable, "-m", "search", "log", str(folder), "--to", "trackio", "--project", project]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=own(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


def own(folder: Path) -> dict[str, str]:
    return {**os.environ, "TRACKIO_DIR": str(folder.parent / "trackio")}


def held(folder: Path, project: str = "digits") -> tuple[dict[str, list[Any]], dict[str, dict[str, Any]]]:
    """Rows by the id of the run, as (step, metrics), and configurations."""
    with closing(sqlite3.connect(folder.parent / "trackio" / f"{project}.db")) as database:
        rows: dict[str, list[Any]] = {}
        for name, step, metrics in database.execute("SELECT run_id, step, metrics FROM metrics ORDER BY id"):
            rows.setdefault(name, []).append((step, json.loads(metrics)))
        found = database.execute("SELECT run_id, config FROM configs")
        configs = {name: json.loads(text) for name, text in found}
    return rows, configs


def is_whole(folder: Path, records: list[TrialRecord], project: str = "digits") -> None:
    """The database has each virtual epoch of each trial once, by its step, and how the trial ended."""
    rows, configs = held(folder, project)
    found = Look(RunFolder(folder)).take("")
    for record, trial in zip(records, found.trials, strict=True):
        values = [(step, row["accuracy"], row["virtual_epoch"]) for step, row in rows[trial.id]]
        assert values == [(5 * number, value, number) for number, value in enumerate(record.values, 1)]
        assert configs[trial.id]["tune_search.state"] == trial.state
        assert configs[trial.id]["_Group"] == f"{found.search.name}-{found.search.id}"
        assert trial.config.items() <= configs[trial.id].items()
    assert rows.keys() == configs.keys() == {found.search.id, *(trial.id for trial in found.trials)}


def test_each_value_is_there_once_however_often_the_run_is_written(tmp_path: Path) -> None:
    records = begun(tmp_path / "run", asked(), workers=2).run(max_reports=9).records
    assert "`trackio show --project digits` shows it" in logged(tmp_path / "run")
    is_whole(tmp_path / "run", records)
    records = Simulation(tmp_path / "run", asked(), noisy(0), workers=2).run().records
    logged(tmp_path / "run")
    is_whole(tmp_path / "run", records)
    before = held(tmp_path / "run")
    logged(tmp_path / "run")
    assert held(tmp_path / "run") == before
    best = [row["best_value"] for _, row in before[0][Look(RunFolder(tmp_path / "run")).take("").search.id]]
    assert best == sorted(set(best))


def test_a_process_that_is_killed_after_a_write_is_gone_on_with(tmp_path: Path) -> None:
    records = begun(tmp_path / "run", asked(), workers=2).run().records
    command = [sys.executable, str(HELPERS / "killed_logger.py"), "9", str(tmp_path / "run"), "trackio"]
    killed = subprocess.run(command, check=False, env=own(tmp_path / "run"))
    assert killed.returncode == -signal.SIGKILL
    logged(tmp_path / "run", "killed-9")
    is_whole(tmp_path / "run", records, "killed-9")


def test_trials_that_failed_before_their_first_report_are_there(tmp_path: Path) -> None:
    def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        return FailureKind.ERROR if number == 3 else None

    config = asked(max_failures=0)
    records = begun(tmp_path / "run", config, workers=1, faults=faults).run().records
    assert [record.number for record in records if not record.values] == [3]
    logged(tmp_path / "run")
    rows, configs = held(tmp_path / "run")
    failed = Look(RunFolder(tmp_path / "run")).take("").trials[3]
    assert rows[failed.id] == [(0, {})]
    assert configs[failed.id]["tune_search.state"] == "failed"


def test_a_name_that_trackio_does_not_take_is_one_line(tmp_path: Path) -> None:
    begun(tmp_path / "run", asked(), workers=2).run(max_reports=2)
    command = [sys.executable, "-m", "search", "log", str(tmp_path / "run"), "--to", "trackio", "--once"]
    done = subprocess.run(
        [*command, "--project", "registry-a"],
        capture_output=True,
        text=True,
        check=False,
        env=own(tmp_path / "run"),
    )
    assert done.returncode == 1
    assert "Project name 'registry-a' is not allowed" in done.stderr
    assert "Traceback" not in done.stderr
