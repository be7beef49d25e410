"""A job that its search has given up, as its machine was cut off, and that still reaches the storage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faulty_runs import Watching
from in_process import search_locally
from one_by_one import ONE_BY_ONE
from patience import PATIENCE
from programs import HELPERS, ROOT
from small_trials import digits_plan, run
from tiny_tasks import search_config

from search.run.limits import NOT_ITS_FAULT, broken_by
from trainables.checkpoints.checkpoint import list_checkpoints
from trainables.fence import SupersededError, become_newest, newest_job
from trainables.process.failure import Failure, FailureKind
from trainables.session import TrialSession

OLDER = """
import json, os, signal, sys
import tiny_tasks
from trainables.checkpoints import checkpoint
from trainables import session
from trainables.plan import TrialPlan
from trainables.workers.worker import TrialWorker

place, name = {
    "validating": (tiny_tasks.AccuracyMetrics, "compute"),
    "saving": (checkpoint, "library_versions"),
    "removing": (checkpoint, "discard_all"),
    "loading": (session, "load_newest"),
    "loaded": (session, "remove_beyond"),
}[sys.argv[1]]
before, calls = getattr(place, name), []
first = 1 if sys.argv[1].startswith("load") else 2  # as a job begins, or in its second virtual epoch

def stop(*arguments):
    calls.append(1)
    if len(calls) == first:
        os.kill(os.getpid(), signal.SIGSTOP)
    return before(*arguments)

worker = TrialWorker()
plan = TrialPlan(**json.loads(sys.argv[2]))
if first == 1:
    setattr(place, name, stop)
try:
    worker.begin(plan)
    setattr(place, name, stop)
    for _ in range(plan.num_virtual_epochs):
        worker.next_report()
finally:
    worker.end()
"""


def contents(folder: Path) -> dict[str, bytes]:
    """All files by their names."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def begin_older(folder: Path, place: str) -> subprocess.Popen[str]:
    """A process with an older job of the trial, stopped where it begins or in its second virtual epoch."""
    plan = json.dumps(digits_plan(folder, job=(1, 1)).as_dict())
    process = subprocess.Popen(
        [sys.executable, "-c", OLDER, place, plan],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HELPERS}", "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), process.stderr and process.stderr.read()
    return process


@pytest.mark.parametrize("place", ["validating", "saving", "removing", "loading", "loaded"])
def test_an_older_job_that_goes_on_changes_nothing_of_the_newer_one(tmp_path: Path, place: str) -> None:
    trial = tmp_path / "trial"
    older = begin_older(trial, place)
    try:
        run(digits_plan(trial, job=(1, 2)))
        undisturbed = run(digits_plan(tmp_path / "undisturbed"))
        before = contents(trial)
        os.kill(older.pid, signal.SIGCONT)
        words = older.communicate(timeout=PATIENCE)[1]
    finally:
        older.kill()
        older.wait()
    assert contents(trial) == before
    assert list_checkpoints(trial) == list_checkpoints(tmp_path / "undisturbed")
    assert undisturbed.best is not None
    assert older.returncode == 1
    assert "superseded: job 2 of session 1 of this trial has begun elsewhere; job 1 of" in words


def test_an_older_job_that_begins_late_takes_nothing_from_the_newer_one(tmp_path: Path) -> None:
    newer = TrialSession(digits_plan(tmp_path, job=(2, 1)), None)
    newer.next_report()
    before = contents(tmp_path)
    with pytest.raises(SupersededError, match="job 1 of session 2 of this trial has begun elsewhere"):
        TrialSession(digits_plan(tmp_path, job=(1, 900)), None)
    assert contents(tmp_path) == before
    newer.close()


def test_a_job_is_overtaken_as_soon_as_the_next_one_is_handed_out(tmp_path: Path) -> None:
    session = TrialSession(digits_plan(tmp_path, job=(1, 1)), None)
    session.next_report()
    become_newest(tmp_path, (1, 2))
    before = contents(tmp_path)
    with pytest.raises(SupersededError, match="writes nothing more in"):
        session.next_report()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("words", ["", "{", "[1]", "7", '["a", 2]'])
def test_a_number_that_a_power_cut_has_spoilt_keeps_nobody_out(tmp_path: Path, words: str) -> None:
    become_newest(tmp_path, (1, 7))
    (file,) = tmp_path.iterdir()
    file.write_text(words, encoding="utf-8")
    become_newest(tmp_path, (1, 2))
    assert newest_job(tmp_path) == (1, 2)
    assert list(tmp_path.iterdir()) == [file]


def test_a_study_that_was_restored_goes_on_although_its_trials_have_had_newer_jobs(interrupted: Path) -> None:
    trial = interrupted / "trials" / "0004"
    trial.mkdir()
    become_newest(trial, (7, 3))
    watching = Watching()
    summary = search_locally(search_config(**ONE_BY_ONE), results=interrupted.parent, reporter=watching)
    assert summary.status == "complete"
    (line,) = (line for line in watching.lines if "its study does not know" in line)
    assert "a job of session 7" in line
    assert line.endswith("as one that was restored or cut: it goes on as session 8")
    assert newest_job(interrupted / "trials" / "0005")[0] == 8


def test_whose_job_was_superseded_is_told_what_to_do() -> None:
    overtaken = broken_by(Failure(FailureKind.SUPERSEDED, "job 2 of this trial has begun elsewhere"))
    assert str(overtaken).endswith(
        "elsewhere; nothing is to be done here; if no other search runs, start this again"
    )
    assert NOT_ITS_FAULT[FailureKind.SUPERSEDED].endswith("if no other search runs, start this again")
