"""`tune-search …` and other programs as processes: started, read, ended, and what is left of them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patience import PATIENCE
from ruamel.yaml import YAML
from tiny_tasks import search_config

Process = subprocess.Popen[str]

ROOT = Path(__file__).parents[2]
HELPERS = ROOT / "tests" / "helpers"
PROGRAM = [sys.executable, "-c", "from search.cli.main import main; main()"]
"""`tune-search`, also where it is not installed."""
WINDING_DOWN = "finishing and saving the running virtual epochs"
"""Of the line that a search prints at the first Ctrl-C."""
SESSIONS: dict[Path, list[int]] = defaultdict(list)
"""By the folder of a test, ids of the sessions (in the kernel's sense) of the programs it has started."""
_POLL_SECONDS = 0.05


def start(
    folder: Path,
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
) -> Process:
    """Start a program of the test in `folder`, in a process group of its own, its output in a pipe.

    `no_process_left(folder)` finds all that came of it; `env` adds to the environment.
    """
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        start_new_session=True,
        preexec_fn=_hear_hangups,
    )
    SESSIONS[folder].append(process.pid)
    return process


def _hear_hangups() -> None:
    """Also where the tests were begun with nohup, which every process hands down."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def run(
    *args: str, cwd: Path = HELPERS, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`tune-search …` to its end; `env` adds to the environment."""
    environment = {**os.environ, **(env or {})}
    return subprocess.run(
        [*PROGRAM, *args], capture_output=True, text=True, cwd=cwd, timeout=PATIENCE, env=environment
    )


def write_config(folder: Path, **sections: Any) -> Path:
    file = folder / "digits.yaml"
    with file.open("w") as out:
        YAML(typ="safe").dump(search_config(**sections), out)
    return file


def wait_for_line(process: Process, text: str, limit: float = PATIENCE) -> list[str]:
    """Read the output up to the first line that contains `text`; fails when it ends or the limit passes."""
    assert process.stdout is not None
    lines: list[str] = []
    deadline = time.monotonic() + limit
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
        if time.monotonic() > deadline:
            break
    raise AssertionError(f"no line with {text!r} in\n{''.join(lines)}")


def ended(process: Process, code: int) -> str:
    """The rest of the output of a program that ends by itself with this code."""
    output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == code, output
    return output


def named_command(output: str) -> list[str]:
    """The command that a message of one line names as the way out."""
    (line,) = (line for line in output.splitlines() if "continue with: tune-search " in line)
    return shlex.split(line.partition("continue with: tune-search ")[2])


def printed_command(output: str) -> list[str]:
    """What the last screen says to type next."""
    (line,) = (line for line in output.splitlines() if "tune-search resume" in line)
    return shlex.split(line)[1:]


def no_process_left(folder: Path) -> None:
    """Wait until no process is there that a program of the test in `folder` has started; fails at a limit."""
    deadline = time.monotonic() + PATIENCE
    while left := processes_of(folder):
        assert time.monotonic() < deadline, "\n".join(f"{pid} {name}" for pid, name in left.items())
        time.sleep(_POLL_SECONDS)


def processes_of(folder: Path) -> dict[int, str]:
    """Process ids and command lines of what the programs of the test in `folder` have started."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) in SESSIONS[folder] and state != "Z":
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(process.name)] = command
        except OSError:  # it has ended meanwhile
            continue
    return found
