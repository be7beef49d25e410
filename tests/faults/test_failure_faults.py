"""What an exception in a trial leaves behind: a trace for people, a cause for the search."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from small_disk import fill, small_disk

from trainables.checkpoints.checkpoint import write_checkpoint
from trainables.process.failure import (
    TRACE_FILE,
    Failure,
    FailureKind,
    TrialError,
    discard_hang_trace,
    failure_of,
    keep_hang_trace,
    recorded_failure,
    take_failure,
)

ROOT = Path(__file__).parents[2]


def fail(folder: Path, error: Exception, where: str = "") -> TrialError:
    """What comes out when `error` is raised in a trial of this folder."""
    with pytest.raises(TrialError) as caught, recorded_failure(folder, lambda: where):
        raise error
    return caught.value


def error_of(action: Any) -> Exception:
    """What the action raises, without the trace, whose frames would keep files open."""
    try:
        action()
    except Exception as error:
        return error.with_traceback(None)
    raise AssertionError("nothing was raised")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder without a byte of space left."""
    with small_disk(tmp_path / "disk", "64k") as folder:
        fill(folder)
        yield folder


def test_a_full_disk_is_told_whoever_wraps_it(full_disk: Path) -> None:
    tensors = {"w": torch.zeros(10_000)}
    errors = [
        error_of(lambda: (full_disk / "text").write_text("x" * 9999)),
        error_of(lambda: save_file(tensors, full_disk / "w.safetensors")),
        error_of(lambda: write_checkpoint(full_disk, 1, weights=tensors, state={}, info={})),
    ]
    kinds = [(type(error).__name__, failure_of(error, "").kind) for error in errors]
    assert kinds == [
        ("OSError", FailureKind.DISK_FULL),
        ("SafetensorError", FailureKind.DISK_FULL),
        ("OSError", FailureKind.DISK_FULL),
    ]


def test_on_a_full_disk_the_cause_is_raised_though_nothing_can_be_written(full_disk: Path) -> None:
    raised = fail(full_disk / "0001", OSError(errno.ENOSPC, "No space left on device"), "step 7")
    assert str(raised) == "disk full: no space left on the disk at step 7"
    assert take_failure(full_disk / "0001") is None


HANGS = {
    "a loop": "while True: pass",
    # PyDLL keeps the interpreter's lock while it is inside: no other thread of Python can run.
    "a library that keeps the lock": "ctypes.PyDLL(None).pause()",
    "a deadlock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
}


_HANGING = """
import ctypes, sys, threading
from pathlib import Path
from trainables.process.failure import traced_if_it_hangs

def hang_here():
    HOW

with traced_if_it_hangs(Path(sys.argv[1]), 0.5):
    hang_here()
"""


@pytest.mark.parametrize("how", HANGS)
def test_a_process_that_hangs_says_where_before_it_is_ended(tmp_path: Path, how: str) -> None:
    code = _HANGING.replace("HOW", HANGS[how])
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    try:
        deadline = time.monotonic() + 60
        while not any(file.read_text().endswith("<module>\n") for file in tmp_path.iterdir()):
            assert time.monotonic() < deadline
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    keep_hang_trace(tmp_path, Failure(FailureKind.HUNG, "a virtual epoch took more than 0.5 s"))
    text = (tmp_path / TRACE_FILE).read_text()
    assert text.startswith("a virtual epoch took more than 0.5 s\n")
    assert "in hang_here" in text
    discard_hang_trace(tmp_path)
    assert os.listdir(tmp_path) == [TRACE_FILE]
