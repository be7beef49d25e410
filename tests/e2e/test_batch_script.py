"""The batch script of `submit`, run by bash as SLURM does, with small programs in the place of a search."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
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
    print(f"heard {len(heard)}\\n", end="", flush=True)  # in one piece: the script writes there too
    if len(heard) >= int(sys.argv[1]):
        sys.exit(143)
signal.signal(signal.SIGTERM, hear)
print("searching\\n", end="", flush=True)
while True:
    time.sleep(0.05)
"""
"""Ends with the so manieth SIGTERM."""
SAVING = HEARD.replace("while True:", "import os\nwhile not os.path.exists('saved'):").replace(
    "time.sleep(0.05)\n", "time.sleep(0.05)\nsys.exit(143)\n"
)
"""Ends when there is a file."""
PYTHON = f"""#!/bin/bash
case $3 in
    search.slurm.progress) [ ! -e broken ] && cat moved;;
    search.slurm.ray_node) case $4 in
        address) echo w1:1;;
        wait) echo waiting; while [ ! -e ready ]; do sleep 0.1; done;;
        *) exec sleep infinity;;
    esac;;
    *) exec {shlex.quote(sys.executable)} "$@"
esac
"""
COMMANDS = {
    "scontrol": 'echo "$*" >>said; exit "${SCONTROL_CODE:-0}"',
    "srun": 'echo "$*" >srun.words; env >srun.env; echo $$ >srun.pid; exec sleep infinity',
    "scancel": "kill $(<srun.pid)",
}
"""What a node has besides: SLURM's commands, and a Python that says how far the search is, from a file."""
ODD = ("it's", "two words", "$HOME", "`id`", "a\\b", "größe", '"q"', "100%", "#", "*", "-x", "")


def job(run: Path, *command: str, wind_down: float = 600, first_only: Sequence[str] = ()) -> Job:
    return Job(
        run=run,
        command=[sys.executable, *command],
        first_only=first_only,
        options=SlurmOptions.parse("-t 60"),
        python=run.parent / "python",
        working_folder=run.parent,
        wind_down=wind_down,
        requeue=True,
    )


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Of a test that fails, too."""
    STARTED.clear()
    yield
    for process in STARTED:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def start(tmp_path: Path, job: Job, **env: str) -> subprocess.Popen[str]:
    """In a process group of its own, as a batch step of one node."""
    file = tmp_path / "job.sbatch"
    file.write_text(batch_script(job), encoding="utf-8")
    programs = {
        job.python: PYTHON,
        **{tmp_path / name: f"#!/bin/bash\n{COMMANDS[name]}\n" for name in COMMANDS},
    }
    for program, text in programs.items():
        program.write_text(text, encoding="utf-8")
        program.chmod(0o755)
    (job.working_folder / "moved").touch()
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_NODELIST": "w1", **env}
    slurm["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **slurm},
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def wait_for(process: subprocess.Popen[str], text: str) -> str:
    """Wait for a line that ends with the text; returns all until then."""
    assert process.stdout is not None
    seen = ""
    for found in process.stdout:
        seen += found
        if found.rstrip().endswith(text):
            return seen
    raise AssertionError(seen)


def requeues(tmp_path: Path) -> int:
    """How often the job was queued again."""
    said = tmp_path / "said"
    return said.read_text(encoding="utf-8").splitlines().count("requeue 7") if said.exists() else 0


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


def test_options_of_the_first_start_are_left_out_once_the_search_has_begun(tmp_path: Path) -> None:
    told = job(tmp_path / "run", "-c", "import sys; print(sys.argv)", first_only=["--retry-failed"])
    (tmp_path / "broken").touch()
    assert "--retry-failed" not in ended(start(tmp_path, told))[1]
    (tmp_path / "broken").unlink()
    assert "--retry-failed" in ended(start(tmp_path, told, SLURM_RESTART_COUNT="1"))[1]
    assert "--retry-failed" not in ended(start(tmp_path, told, SLURM_RESTART_COUNT="2"))[1]
    assert "--retry-failed" in ended(start(tmp_path, told, SLURM_JOB_ID="8"))[1]


def test_a_job_says_its_id_where_submit_looks_for_it(tmp_path: Path) -> None:
    run = tmp_path / "results" / "run"
    ended(start(tmp_path, replace(job(run, "-c", ""), python=tmp_path / "python", working_folder=tmp_path)))
    assert (run / "slurm" / "job_id").read_text(encoding="utf-8") == "7\n"
    assert run.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("code", [0, 1, 2, 130, 143])
def test_the_job_ends_with_the_code_of_a_search_that_nobody_asked_to_end(tmp_path: Path, code: int) -> None:
    returned, output = ended(start(tmp_path, job(tmp_path / "run", "-c", f"raise SystemExit({code})")))
    assert returned == code
    assert "start again" not in output


def test_near_the_limit_the_search_is_asked_to_end_once_and_queued_again(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "1"))
    wait_for(process, "searching")
    (tmp_path / "moved").write_text("1 1 0", encoding="utf-8")
    os.kill(process.pid, signal.SIGUSR1)
    output = ended(process)[1]
    assert "the time limit is near, the search is asked to end" in output
    assert output.count("heard") == 1
    assert requeues(tmp_path) == 1


def test_a_job_that_slurm_does_not_queue_again_says_so(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "1"), SCONTROL_CODE="1")
    wait_for(process, "searching")
    (tmp_path / "moved").write_text("1 1 0", encoding="utf-8")
    os.kill(process.pid, signal.SIGUSR1)
    code, output = ended(process)
    assert code == 143
    assert "SLURM does not start this job again; the same tune-search submit goes on" in output


def at_the_limit(tmp_path: Path, *, moved: bool = False) -> str:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "1"))
    wait_for(process, "searching")
    if moved:
        with (tmp_path / "moved").open("a", encoding="utf-8") as file:
            file.write("1")
    os.kill(process.pid, signal.SIGUSR1)
    return ended(process)[1]


def test_a_search_that_has_not_moved_in_two_starts_in_a_row_is_not_started_again(tmp_path: Path) -> None:
    for moved, told in ((False, "it is the last one"), (True, ""), (False, "it is the last one")):
        output = at_the_limit(tmp_path, moved=moved)
        assert told in output
        assert "the job is queued again" in output
    assert requeues(tmp_path) == 3
    output = at_the_limit(tmp_path)
    assert "two starts in a row, so this job does not start again" in " ".join(output.split())
    assert requeues(tmp_path) == 3


def test_a_start_that_cannot_prepare_is_queued_again_three_times_in_a_row(tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    told = job(tmp_path / "run", "-c", "")
    assert ended(start(tmp_path, told))[0] == 1
    assert requeues(tmp_path) == 0, "the first start shows what is wrong"
    for number in (1, 2, 3):
        assert f"{number} in a row" in ended(start(tmp_path, told, SLURM_RESTART_COUNT="1"))[1]
    assert ended(start(tmp_path, told, SLURM_RESTART_COUNT="1"))[0] == 1
    assert requeues(tmp_path) == 3
    (tmp_path / "broken").unlink()
    assert ended(start(tmp_path, told, SLURM_RESTART_COUNT="1"))[0] == 0
    (tmp_path / "broken").touch()
    assert "1 in a row" in ended(start(tmp_path, told, SLURM_RESTART_COUNT="1"))[1]


@pytest.mark.parametrize(
    ("signals", "is_queued_again"),
    [
        ([signal.SIGUSR1, signal.SIGUSR1], True),
        ([signal.SIGTERM, signal.SIGUSR1], False),
        ([signal.SIGUSR1, signal.SIGTERM], False),
        ([signal.SIGTERM, signal.SIGTERM], False),
    ],
)
def test_a_second_signal_lets_the_search_save(
    tmp_path: Path, signals: list[int], is_queued_again: bool
) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", SAVING, "2"))
    wait_for(process, "searching")
    (tmp_path / "moved").write_text("1 1 0", encoding="utf-8")
    os.kill(process.pid, signals[0])
    wait_for(process, "heard 1")
    os.kill(process.pid, signals[1])
    (tmp_path / "saved").touch()
    output = ended(process)[1]
    assert "heard 2" not in output
    assert requeues(tmp_path) == is_queued_again


@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_a_signal_while_the_search_is_being_started_reaches_it(tmp_path: Path, name: str) -> None:
    """As late as possible: the search runs, and the script does not know its process yet."""
    hook = tmp_path / "hook"
    at = '"$BASH_COMMAND" = "pid=\\$!"'
    wait = "while [ ! -e begun ]; do sleep 0.1; done"
    hook.write_text(f"set -T; trap 'if [ {at} ]; then {wait}; kill -{name} $$; fi' DEBUG", encoding="utf-8")
    code = HEARD.replace("while True:", "open('begun', 'w')\nwhile True:")
    process = start(tmp_path, job(tmp_path / "run", "-c", code, "1"), BASH_ENV=str(hook))
    returned, output = ended(process)
    assert output.count("heard") == 1
    assert (returned, requeues(tmp_path)) == ((0, 1) if name == "USR1" else (143, 0))


def test_a_signal_while_the_nodes_are_awaited_ends_the_job_at_once(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", "print('searched')"), SLURM_JOB_NUM_NODES="2")
    wait_for(process, "waiting")
    os.kill(process.pid, signal.SIGTERM)
    code, output = ended(process)
    assert code == 143
    assert "searched" not in output
    assert requeues(tmp_path) == 0


def test_ray_on_other_nodes_gets_the_token_and_no_option_of_the_jobs_own_tasks(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    own = ["GPUS", "GPUS_PER_TASK", "GPUS_PER_SOCKET", "GPU_BIND", "CPUS_PER_TASK", "TRES_PER_TASK"]
    own = [f"SLURM_{name}" for name in (*own, "NTASKS_PER_NODE", "NTASKS_PER_GPU")]
    code = "import os, sys, time\nwhile not os.path.exists('srun.pid'): time.sleep(0.05)\nprint(sys.argv)"
    process = start(
        tmp_path, job(tmp_path / "run", "-c", code), SLURM_JOB_NUM_NODES="3", **dict.fromkeys(own, "1")
    )
    returned, output = ended(process)
    assert returned == 0, output
    assert "['-c', '--address', 'w1:1']" in output
    words = (tmp_path / "srun.words").read_text(encoding="utf-8").split()
    assert {"--export=ALL", "--nodes=2", "--ntasks=2", "--relative=1"} < {*words}
    env = dict(
        line.split("=", 1) for line in (tmp_path / "srun.env").read_text("utf-8").splitlines() if "=" in line
    )
    assert len(env["RAY_AUTH_TOKEN"]) == 64
    assert not {*own} & {*env}


def test_a_search_that_takes_too_long_to_end_is_asked_again(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "2", wind_down=2))
    wait_for(process, "searching")
    os.kill(process.pid, signal.SIGUSR1)
    assert ended(process)[1].count("heard") == 2


def test_a_signal_to_the_script_alone_is_passed_on(tmp_path: Path) -> None:
    process = start(tmp_path, job(tmp_path / "run", "-c", HEARD, "1"))
    wait_for(process, "searching")
    os.kill(process.pid, signal.SIGTERM)
    code, output = ended(process)
    assert (code, output.count("heard")) == (143, 1)
    assert "start again" not in output


def test_a_signal_to_all_processes_reaches_the_search_once(tmp_path: Path) -> None:
    """As scancel sends it; a second one would end the search before its virtual epochs are saved."""
    process = start(tmp_path, job(tmp_path / "run", "-c", SAVING, "2"))
    wait_for(process, "searching")
    os.killpg(process.pid, signal.SIGTERM)
    seen = wait_for(process, "heard 1")
    (tmp_path / "saved").touch()
    output = seen + ended(process)[1]
    assert output.count("heard 1") == 1
    assert "heard 2" not in output
