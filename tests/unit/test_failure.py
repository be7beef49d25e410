"""What an exception in a trial leaves behind: a trace for people, a cause for the search."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import time
from bdb import BdbQuit
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from small_disk import fill, small_disk
from torch.utils.data import DataLoader

from trainables.checkpoint import write_checkpoint
from trainables.options import TrialOptions
from trainables.process.failure import (
    TRACE_FILE,
    Failure,
    FailureKind,
    TrialError,
    failure_note,
    failure_of,
    keep_hang_trace,
    recorded_failure,
    take_failure,
    traced_if_it_hangs,
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


def test_the_trace_is_for_people_and_the_cause_in_one_line_for_the_search(tmp_path: Path) -> None:
    raised = fail(tmp_path / "0003", ValueError("width is 0\nsecond line"))
    text = (tmp_path / "0003" / TRACE_FILE).read_text()
    assert "Traceback" in text
    assert "second line" in text
    assert "test_failure.py" in text
    assert str(raised) == "error: ValueError: width is 0"
    assert take_failure(tmp_path / "0003") == Failure(FailureKind.ERROR, "ValueError: width is 0")


def test_a_cause_is_taken_once_and_traces_are_kept(tmp_path: Path) -> None:
    fail(tmp_path, ValueError("first"))
    fail(tmp_path, RuntimeError("second"))
    assert take_failure(tmp_path) == Failure(FailureKind.ERROR, "RuntimeError: second")
    assert take_failure(tmp_path) is None
    text = (tmp_path / TRACE_FILE).read_text()
    assert text.index("ValueError: first") < text.index("RuntimeError: second")
    assert os.listdir(tmp_path) == [TRACE_FILE]


def test_without_an_exception_nothing_is_written(tmp_path: Path) -> None:
    with recorded_failure(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
    assert take_failure(tmp_path) is None
    assert take_failure(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ['{"kind": "err', "", "[]", '{"kind": "unheard of", "cause": "x"}', "{}"])
def test_a_damaged_note_is_no_cause_and_does_not_stay(tmp_path: Path, text: str) -> None:
    note, _ = failure_note(tmp_path, Failure(FailureKind.ERROR, "x"))
    note.write_text(text)
    assert take_failure(tmp_path) is None
    assert os.listdir(tmp_path) == []


def test_ctrl_c_is_not_a_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), recorded_failure(tmp_path):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


# What reaches Ray


class UnpicklableError(Exception):
    def __init__(self, number: int, file: object) -> None:
        super().__init__(f"number {number}")
        self.file = file


class SilentError(Exception):
    def __str__(self) -> str:
        raise AttributeError("no text")


def test_an_exception_that_cannot_be_pickled_does_not_reach_ray(tmp_path: Path) -> None:
    original = UnpicklableError(3, (tmp_path / "open").open("w"))
    with pytest.raises(TypeError):
        pickle.dumps(original)
    copy = pickle.loads(pickle.dumps(fail(tmp_path, original)))
    assert isinstance(copy, TrialError)
    assert str(copy) == "error: UnpicklableError: number 3"


def test_what_is_raised_does_not_show_the_original(tmp_path: Path) -> None:
    raised = fail(tmp_path, ValueError("x"))
    assert raised.__suppress_context__
    assert raised.__cause__ is None


def test_an_exception_that_has_no_text_is_a_failure_like_others(tmp_path: Path) -> None:
    fail(tmp_path, SilentError())
    cause = "SilentError: its text cannot be shown (AttributeError)"
    assert take_failure(tmp_path) == Failure(FailureKind.ERROR, cause)


# Kinds


ON_GPU = "out of memory on the GPU at step 120"


@pytest.mark.parametrize(
    ("error", "kind", "cause"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), FailureKind.GPU_MEMORY, ON_GPU),
        (RuntimeError("CUDA error: out of memory"), FailureKind.GPU_MEMORY, ON_GPU),
        (MemoryError(), FailureKind.MEMORY, "out of memory at step 120"),
        (OSError(errno.ENOMEM, "x"), FailureKind.MEMORY, "out of memory at step 120"),
        (OSError(errno.ENOSPC, "x"), FailureKind.DISK_FULL, "no space left on the disk at step 120"),
        (OSError(errno.EDQUOT, "x"), FailureKind.DISK_FULL, "no space left on the disk at step 120"),
        (OSError(errno.EIO, "broken"), FailureKind.ERROR, "OSError: [Errno 5] broken"),
        (AssertionError(), FailureKind.ERROR, "AssertionError: "),
        (KeyError("no metric 'miou'"), FailureKind.ERROR, "KeyError: no metric 'miou'"),
    ],
)  # fmt: skip
def test_the_kind_of_an_exception_decides_what_is_said(
    tmp_path: Path, error: Exception, kind: FailureKind, cause: str
) -> None:
    fail(tmp_path, error, "step 120")
    assert take_failure(tmp_path) == Failure(kind, cause)


def test_a_tensor_that_does_not_fit_into_the_machine_is_out_of_memory() -> None:
    error = error_of(lambda: torch.empty(2**50))
    assert failure_of(error, "step 3") == Failure(FailureKind.MEMORY, "out of memory at step 3")


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


class Options(TrialOptions):
    width: int


def test_a_wrong_option_is_named() -> None:
    error = error_of(lambda: Options.model_validate({"width": "x", "optimizer": {"lr": -1}}))
    assert isinstance(error, ValidationError)
    cause = "ValidationError: optimizer.lr: Input should be greater than 0"
    assert failure_of(error, "") == Failure(FailureKind.ERROR, cause)


class BrokenFiles:
    """A data set that cannot be read."""

    errors: ClassVar[list[Exception]] = [ValueError("masks/0.png: label 37\nand more"), MemoryError()]

    def __init__(self, error: int) -> None:
        self._error = error

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise self.errors[self._error]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (0, Failure(FailureKind.ERROR, "ValueError: masks/0.png: label 37")),
        (1, Failure(FailureKind.MEMORY, "out of memory")),
    ],
)
def test_what_a_data_loading_worker_raises_is_told_as_if_raised_here(error: int, expected: Failure) -> None:
    raised = error_of(lambda: list(DataLoader(BrokenFiles(error), num_workers=1)))  # type: ignore[arg-type]
    assert "in DataLoader worker process 0" in str(raised)
    assert failure_of(raised, "") == expected


# Hanging

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
    assert os.listdir(tmp_path) == [TRACE_FILE]


def test_a_process_that_was_stopped_could_not_say_where(tmp_path: Path) -> None:
    keep_hang_trace(tmp_path, Failure(FailureKind.HUNG, "a virtual epoch took more than 2 s"))
    assert "the process did not say where" in (tmp_path / TRACE_FILE).read_text()


def test_what_is_quick_leaves_no_trace(tmp_path: Path) -> None:
    for _ in range(3):
        with traced_if_it_hangs(tmp_path, 0.2):
            pass
    with pytest.raises(KeyError), traced_if_it_hangs(tmp_path, 0.2):
        raise KeyError
    with traced_if_it_hangs(tmp_path, None), traced_if_it_hangs(tmp_path, 1e300):
        pass
    assert os.listdir(tmp_path) == []


def test_a_trace_of_a_process_that_died_of_something_else_is_dropped(tmp_path: Path) -> None:
    with traced_if_it_hangs(tmp_path, 60):
        (begun,) = tmp_path.iterdir()
        keep_hang_trace(tmp_path, Failure(FailureKind.DIED, "the trial's process died"))
        assert not begun.exists()
    assert os.listdir(tmp_path) == []


def test_leaving_the_debugger_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(BdbQuit), recorded_failure(tmp_path):
        raise BdbQuit
    assert os.listdir(tmp_path) == []
