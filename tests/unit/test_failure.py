"""What an exception in a trial leaves behind: a trace for people, a cause for the search."""

from __future__ import annotations

import errno
import os
import pickle
from bdb import BdbQuit
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from trainables.options import TrialOptions
from trainables.process.failure import (
    TRACE_FILE,
    Failure,
    FailureKind,
    TrialError,
    discard_hang_trace,
    failure_note,
    failure_of,
    keep_hang_trace,
    recorded_failure,
    take_failure,
    traced_if_it_hangs,
)


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


def test_the_trace_is_for_people_and_the_cause_in_one_line_for_the_search(tmp_path: Path) -> None:
    raised = fail(tmp_path / "0003", ValueError("width is 0\nsecond line"))
    text = (tmp_path / "0003" / TRACE_FILE).read_text()
    assert "Traceback" in text
    assert "second line" in text
    assert "test_failure.py" in text
    assert str(raised) == "error that comes again: ValueError: width is 0"
    assert take_failure(tmp_path / "0003") == Failure(FailureKind.LASTING, "ValueError: width is 0")


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


RAISED = f"test_failure.py:{fail.__code__.co_firstlineno + 3}, in fail"
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
        (OSError(errno.EIO, "broken"), FailureKind.PASSING, "OSError: [Errno 5] broken"),
        (AssertionError(), FailureKind.LASTING, f"AssertionError:  ({RAISED})"),
        (KeyError("no metric 'miou'"), FailureKind.LASTING, f"KeyError: no metric 'miou' ({RAISED})"),
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


class Options(TrialOptions):
    width: int


def test_a_wrong_option_is_named() -> None:
    error = error_of(lambda: Options.model_validate({"width": "x", "optimizer": {"lr": -1}}))
    assert isinstance(error, ValidationError)
    cause = "ValidationError: optimizer.lr: Input should be greater than 0"
    assert failure_of(error, "") == Failure(FailureKind.LASTING, cause)


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
        discard_hang_trace(tmp_path)
        assert not begun.exists()
    assert os.listdir(tmp_path) == []


def test_leaving_the_debugger_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(BdbQuit), recorded_failure(tmp_path):
        raise BdbQuit
    assert os.listdir(tmp_path) == []


def test_an_assertion_of_the_gpu_says_what_may_be_wrong_and_where_it_would_be_named() -> None:
    text = "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported"
    found = failure_of(RuntimeError(text), "step 3")
    assert found.kind is FailureKind.LASTING
    assert found.cause == (
        "RuntimeError: CUDA error: device-side assert triggered at step 3: a label or an index is out of "
        "range, which the same trial on a CPU (--local) names"
    )


def test_a_sigterm_that_ray_turns_into_an_exit_is_no_failure_of_the_task(tmp_path: Path) -> None:
    from ray._raylet import raise_sys_exit_with_custom_error_message

    with pytest.raises(SystemExit), recorded_failure(tmp_path, alone=True):
        raise_sys_exit_with_custom_error_message("The process receives a SIGTERM.", exit_code=1)
    assert take_failure(tmp_path) is None
