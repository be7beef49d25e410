"""A search that is killed again and again at random moments, and started again with the same command."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE

from search.study.study import JOURNAL

Start = Callable[[], subprocess.Popen[str]]

_STEP_SECONDS = 0.005


@dataclass(frozen=True)
class Kill:
    """When a process group was killed: after so much of the journal, or so soon after its start."""

    share: float | None
    seconds: float
    died_in: str
    """The last line that the search had printed."""


def kill_moments(num_kills: int, seed: int) -> list[tuple[float | None, float]]:
    """Random moments spread over a search: (share of the journal, seconds after that was reached).

    Every fourth is (None, seconds after the start), which comes while Ray or the first process starts.
    """
    rng = random.Random(seed)
    # One in each equal part; not at the very end, where the search would be over before it is killed.
    shares = [(index + rng.random()) * 0.95 / num_kills for index in range(num_kills)]
    return [
        (None, rng.uniform(0.0, 6.0)) if index % 4 == 3 else (share, rng.uniform(0.0, 0.5))
        for index, share in enumerate(shares)
    ]


def run_with_kills(start: Start, run: Path, journal_bytes: int, num_kills: int, seed: int) -> list[Kill]:
    """Kill the search in `run` at each moment, then let it come to its end.

    Args:
        start: begins the search, in a process group of its own, with its output in a pipe.
        run: its folder.
        journal_bytes: length of the journal when nothing happens.
    """
    kills = []
    for share, seconds in kill_moments(num_kills, seed):
        process = start()
        if share is not None:
            _wait(process, lambda size=share * journal_bytes: _size(run) >= size)
        _wait(process, _passed(seconds))
        assert process.poll() is None, f"ended before it was killed: {process.communicate()[0]}"
        os.killpg(process.pid, signal.SIGKILL)
        output = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == -signal.SIGKILL, output
        kills.append(Kill(share, seconds, output.strip().rpartition("\n")[2]))
    last = start()
    output = last.communicate(timeout=PATIENCE)[0]
    assert last.returncode == 0, output
    return kills


def _size(run: Path) -> int:
    file = run / JOURNAL
    return file.stat().st_size if file.exists() else 0


def _passed(seconds: float) -> Callable[[], bool]:
    deadline = time.monotonic() + seconds
    return lambda: time.monotonic() >= deadline


def _wait(process: subprocess.Popen[str], until: Callable[[], bool]) -> None:
    """Wait for a condition, or for the end of the process; both have a limit."""
    deadline = time.monotonic() + PATIENCE
    while not until() and process.poll() is None:
        assert time.monotonic() < deadline, "the search does not come on"
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STEP_SECONDS)
