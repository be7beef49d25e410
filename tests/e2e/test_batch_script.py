"""The batch script of `submit`, run by bash as SLURM does, with small programs in the place of a search."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from patience import PATIENCE

from search.slurm.options import SlurmOptions
from search.slurm.script import Job, batch_script

HEARD = """
import signal, sys, time
heard = []
def hear(number, frame):
    heard.append(number)
    print("heard", len(heard), flush=True)
    if len(heard) >= int(sys.argv[1]):
        sys.exit(143)
signal.signal(signal.SIGTERM, hear)
print("searching", flush=True)
while True:
    time.sleep(0.05)
"""
"""Ends with the so manieth SIGTERM."""
ODD = ("it's", "two words", "$HOME", "`id`", "a\\b", "größe", '"q"', "100%", "#", "*", "-x", "")


def job(run: Path, *command: str, wind_down: float = 600, first_only: Sequence[str] = ()) -> Job:
    return Job(
        run=run,
        command=[sys.executable, *command],
        first_only=first_only,
        options=SlurmOptions.parse("-t 60"),
        python=Path(sys.executable),
        working_folder=run.parent,
        wind_down=wind_down,
        requeue=True,
    )


def start(tmp_path: Path, job: Job, **env: str) -> subprocess.Popen[str]:
    """In a process group of its own, as a batch step of one node."""
    file = tmp_path / "job.sbatch"
    file.write_text(batch_script(job), encoding="utf-8")
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "w1", **env}
    return subprocess.Popen(
        ["bash", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **slurm},
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    seen = []
    for found in process.stdout:
        seen.append(found)
        if found.strip() == line:
            return
    raise AssertionError(seen)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output = process.communicate(timeout=PATIENCE)[0]
    return process.returncode, output


@pytest.mark.parametrize("name", [name for name in ODD if name])
def test_the_search_gets_its_words_and_its_folder_whatever_they_are(tmp_path: Path, name: str) -> None:
    run = tmp_path / name / "run"
    run.parent.mkdir()
    code = "import json, os, sys; json.dump([os.getcwd(), sys.argv[1:]], open('told', 'w'))"
    assert ended(start(tmp_path, job(run, "-c", code, *ODD)))[0] == 0
    assert json.loads((run.parent / "told").read_text()) == [str(run.parent), list(ODD)]


def test_options_of_the_first_start_are_left_out_when_the_job_is_started_again(tmp_path: Path) -> None:
    told = job(tmp_path / "run", "-c", "import sys; print(sys.argv)", first_only=["--retry-failed"])
    assert "--retry-failed" in ended(start(tmp_path, told))[1]
    assert "--retry-failed" not in ended(start(tmp_path, told, SLURM_RESTART_COUNT="1"))[1]


@pytest.mark.parametrize("code", [0, 1, 2, 130, 143])
def test_the_job_ends_with_the_code_of_a_search_that_nobody_asked_to_end(tmp_path: Path, code: int) -> None:
    returned, output = ended(start(tmp_path, job(tmp_path / "run", "-c", f"raise SystemExit({code})")))
    assert returned == code
    assert "start again" not in output


def test_near_the_limit_the_search_is_asked_to_end_once(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "1"))
    wait_for(process, "searching")
    os.kill(process.pid, signal.SIGUSR1)
    code, output = ended(process)
    assert code == 143
    assert "the time limit is near, the search is asked to end" in output
    assert output.count("heard") == 1


def test_a_search_that_has_not_moved_in_the_whole_time_is_not_started_again(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "1"))
    wait_for(process, "searching")
    os.kill(process.pid, signal.SIGUSR1)
    code, output = ended(process)
    assert code == 143
    assert "no virtual epoch ended within the time limit, so this job does not start again" in output


def test_a_search_that_takes_too_long_to_end_is_asked_again(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "2", wind_down=2))
    wait_for(process, "searching")
    os.kill(process.pid, signal.SIGUSR1)
    code, output = ended(process)
    assert code == 143
    assert output.count("heard") == 2


def test_a_signal_to_the_script_alone_is_passed_on(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "1"))
    wait_for(process, "searching")
    os.kill(process.pid, signal.SIGTERM)
    code, output = ended(process)
    assert (code, output.count("heard")) == (143, 1)
    assert "start again" not in output


def test_a_signal_to_all_processes_reaches_the_search_once(tmp_path: Path) -> None:
    """As scancel sends it; a second one would end the search before its virtual epochs are saved."""
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "2"))
    wait_for(process, "searching")
    os.killpg(process.pid, signal.SIGTERM)
    wait_for(process, "heard 1")
    os.kill(process.pid, signal.SIGUSR1)
    code, output = ended(process)
    assert code == 143
    assert output.index("the time limit is near") < output.index("heard 2"), output
