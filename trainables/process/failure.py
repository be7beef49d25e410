"""How an exception in a trial is recorded: the trace for people, the cause for the search."""

from __future__ import annotations

import errno
import faulthandler
import json
import logging
import os
import sys
import threading
import traceback
from bdb import BdbQuit
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import TIMEOUT_MAX
from typing import Any, NoReturn, TypeGuard

from pydantic import ValidationError

from trainables.fence import (
    ALONE,
    Job,
    SupersededError,
    discard_of_older,
    is_newest,
    own_name,
    require_newest,
)
from trainables.files import clock_of
from trainables.findings import ChangedFileError
from trainables.process.causes import (
    comes_again,
    exit_text,
    may_pass,
    on_one_line,
    text_of,
    with_advice,
)
from trainables.storage.errors import StorageError

log = logging.getLogger(__name__)

TRACE_FILE = "error.txt"
_CAUSE_FILE = ".failure.json"
_HANG_FILE = ".hang.txt"

_TEXT: Any = {"encoding": "utf-8", "errors": "backslashreplace"}
"""Traces hold names of files, which may be no text in any encoding."""


class FailureKind(StrEnum):
    """Why an attempt at a trial was lost."""

    ERROR = "error"
    """an exception"""
    LASTING = "error that comes again"
    """an exception that another attempt is sure to meet again"""
    PASSING = "error of the system"
    """an exception whose cause may be the machine or the network"""
    GPU_MEMORY = "out of memory on the GPU"
    MEMORY = "out of memory"
    """of the machine"""
    DISK_FULL = "disk full"
    STORAGE = "storage"
    """where checkpoints are kept, which refuses or does not answer"""
    DATA_CHANGED = "data changed"
    """a file that was written while the search ran"""
    HUNG = "hung"
    """a virtual epoch that took longer than its limit"""
    DIED = "process died"
    HOST_LOST = "host lost"
    """the machine was taken away, which no trial is to blame for"""
    HOST_DIED = "host died"
    """the machine ended without an announcement, which a trial may have brought about"""
    SUPERSEDED = "superseded"
    """a newer job of the trial has begun elsewhere"""


@dataclass(frozen=True)
class Failure:
    """A lost attempt; `cause` is one line."""

    kind: FailureKind
    cause: str
    host: str = field(default="", compare=False)
    """Where it was lost, on a cluster of several hosts; another host does not make it another failure."""
    depth: int = field(default=0, compare=False)
    """Virtual epochs that the trial had reported."""

    @property
    def text(self) -> str:
        """The cause, with the host."""
        return f"{self.cause} (on {self.host})" if self.host else self.cause


class TrialError(Exception):
    """The cause in one line, as the process of a trial raises it."""


class RankError(Exception):
    """What another process of the trial has failed of, or that it is gone, as its rank 0 raises it.

    Args:
        failure: to be recorded; its cause names the rank.
        trace: of that process, where it had one.
    """

    def __init__(self, failure: Failure, trace: str = "") -> None:
        super().__init__("\n".join(filter(None, [failure.cause, trace])))
        self.failure = failure


@contextmanager
def recorded_failure(
    folder: Path, where: Callable[[], str] = lambda: "", *, alone: bool = False, job: Job = ALONE
) -> Iterator[None]:
    """Append an exception's trace to error.txt of the trial's folder, note its cause, and raise TrialError.

    Of a job that is not the newest of its trial nothing is written.

    Args:
        folder: of the trial.
        where: how far the trial had come, such as `step 120`.
        alone: this process has only trials: no person presses Ctrl-C here, a KeyboardInterrupt is the task's.
        job: of the trial.
    """
    try:
        with _exits_raise() if alone else nullcontext():
            yield
    except BdbQuit:
        raise  # a person has left the debugger, and so the program
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) and not alone:
            raise
        # SIGTERM to this process, which Ray turns into an exit: not the task's, and tried again.
        if hasattr(error, "ray_terminate_msg"):
            raise
        failure = failure_of(_superseded(folder, job) or error, where())
        trace = "".join(traceback.format_exception(error))
        if failure.kind is FailureKind.SUPERSEDED:
            log.warning("%s", failure.cause)
        elif is_newest(folder, job):
            record(folder, job, failure, trace)
        # Ray would pickle the original, which not every exception survives.
        raise TrialError(f"{failure.kind}: {failure.cause}") from None


def _superseded(folder: Path, job: Job) -> SupersededError | None:
    """Said in the place of what has come of it, such as of a file that the newer job has removed."""
    try:
        require_newest(folder, job)
    except SupersededError as error:
        return error
    except OSError:
        pass
    return None


def record(folder: Path, job: Job, failure: Failure, trace: str) -> None:
    """Note why an attempt was lost, for `take_failure`, and append its trace to error.txt."""
    # On a full disk neither can be written, and Ray still passes on the cause.
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        note, text = failure_note(folder, failure, job)
        note.write_text(text, encoding="utf-8")
        with (folder / TRACE_FILE).open("a", **_TEXT) as file:
            file.write(trace + "\n")


@contextmanager
def _exits_raise() -> Iterator[None]:
    """Meanwhile `os._exit` in this process raises SystemExit: its cause would be lost with the process."""
    exit_at_once, process = os._exit, os.getpid()

    def leave(status: int) -> NoReturn:
        if os.getpid() != process or threading.current_thread() is not threading.main_thread():
            exit_at_once(status)
        raise SystemExit(status)

    os._exit = leave
    try:
        yield
    finally:
        os._exit = exit_at_once


def _gpu_memory_errors() -> tuple[type[BaseException], ...]:
    """Torch's, once it is there: this module is read by commands that show failures and train nothing."""
    torch = sys.modules.get("torch")
    return () if torch is None else (torch.OutOfMemoryError,)


def failure_of(error: BaseException, where: str) -> Failure:
    """Kind and cause of an exception."""
    if isinstance(error, StorageError) and _is_of_full_disk(error.__cause__):
        error = error.__cause__  # of a `file://` address
    text, at = text_of(error), f" at {where}" if where else ""
    if isinstance(error, RankError):
        return error.failure
    if isinstance(error, SupersededError):
        return Failure(FailureKind.SUPERSEDED, text)
    if isinstance(error, StorageError):
        return Failure(FailureKind.STORAGE, text)
    if isinstance(error, _gpu_memory_errors()) or any(sign in text for sign in _GPU_MEMORY_SIGNS):
        return Failure(FailureKind.GPU_MEMORY, f"out of memory on the GPU{at}")
    if isinstance(error, MemoryError) or _is_of_system(error, text, *_MEMORY_SIGNS):
        return Failure(FailureKind.MEMORY, f"out of memory{at}")
    if "/dev/shm" not in text and "shared memory" not in text and _is_of_system(error, text, *_DISK_SIGNS):
        file = getattr(error, "filename", None)
        of = f" of {file}" if file else ""
        return Failure(FailureKind.DISK_FULL, f"no space left on the disk{of}{at}")
    if ChangedFileError.SIGN in text:
        return Failure(FailureKind.DATA_CHANGED, _one_line(error, text))
    cause = f"{type(error).__name__}: {_one_line(error, text)}"
    if _GPU_ASSERTION in text:
        cause += f"{at}: a label or an index is out of range, which the same trial on a CPU (--local) names"
        return Failure(FailureKind.LASTING, cause)
    kind = FailureKind.PASSING if may_pass(error, text) else FailureKind.ERROR
    kind = FailureKind.LASTING if comes_again(error, text) else kind
    return Failure(kind, with_advice(cause, error, text))


def failure_note(folder: Path, failure: Failure, job: Job = ALONE) -> tuple[Path, str]:
    """File and text of a note that `take_failure` reads."""
    return folder / own_name(_CAUSE_FILE, job), json.dumps(asdict(failure))


def take_failure(folder: Path, job: Job = ALONE) -> Failure | None:
    """The noted failure of the job, once; None if the process died without one."""
    file = folder / own_name(_CAUSE_FILE, job)
    try:
        text = file.read_text(encoding="utf-8")
        file.unlink()
        noted = json.loads(text)
        return Failure(FailureKind(noted["kind"]), str(noted["cause"]))
    # A full disk, or the death of its writer, leaves half a note.
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def traced_if_it_hangs(folder: Path, seconds: float | None, job: Job = ALONE) -> Iterator[None]:
    """Write the stack of every thread shortly before the block has taken that many seconds; never with None.

    Whoever ends the process passes it on with `keep_hang_trace` before. It is written even while a library
    holds the interpreter's lock; a process that is stopped writes nothing.
    """
    if seconds is None:
        yield
        return
    file = folder / own_name(_HANG_FILE, job)
    with file.open("w", **_TEXT) as out:
        sooner = seconds - min(5.0, seconds / 10)
        faulthandler.dump_traceback_later(min(sooner, TIMEOUT_MAX), file=out)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            file.unlink(missing_ok=True)


def hang_trace_is_due(folder: Path, seconds: float, job: Job = ALONE) -> bool:
    """Whether a trial's process has written where it hangs, or has had the time to do so and 5 s more."""
    try:
        status = (folder / own_name(_HANG_FILE, job)).stat()
        # Its process may be on a machine whose clock is minutes from this one's.
        return status.st_size > 0 or clock_of(folder) - status.st_mtime > seconds + 5
    except OSError:
        return False


def keep_hang_trace(folder: Path, failure: Failure, job: Job = ALONE) -> None:
    """Append to error.txt of the trial's folder where its process hangs.

    This comes before the process is ended: the signal may wake it, and then it removes what it had written.
    """
    file = folder / own_name(_HANG_FILE, job)
    with suppress(OSError):
        trace = file.read_text(**_TEXT) if file.exists() else ""
        trace = trace or "(the process did not say where: it was stopped, or its machine is gone)\n"
        with (folder / TRACE_FILE).open("a", **_TEXT) as out:
            out.write(f"{failure.cause}\n{trace}\n")


def discard_hang_trace(folder: Path, job: Job = ALONE) -> None:
    """Remove what a process that has died, of whatever, left of `traced_if_it_hangs`."""
    with suppress(OSError):
        (folder / own_name(_HANG_FILE, job)).unlink(missing_ok=True)


def discard_older_notes(folder: Path, job: Job) -> None:
    """Remove what other jobs of the trial, which nobody waits for, have noted here."""
    for name in (_CAUSE_FILE, _HANG_FILE):
        discard_of_older(folder, name, job)


# Torch, safetensors and data-loading workers wrap the system's errors in their own.
_GPU_MEMORY_SIGNS = (
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_GPU_ASSERTION = "device-side assert triggered"
_MEMORY_SIGNS = ((errno.ENOMEM,), ("can't allocate memory", "Cannot allocate memory"))
_DISK_SIGNS = ((errno.ENOSPC, errno.EDQUOT), ("No space left on device", "Disk quota exceeded"))


def _is_of_full_disk(error: BaseException | None) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in _DISK_SIGNS[0]


def _is_of_system(error: BaseException, text: str, numbers: Sequence[int], signs: Sequence[str]) -> bool:
    own = isinstance(error, OSError) and error.errno in numbers
    return own or any(sign in text for sign in signs)


def _one_line(error: BaseException, text: str) -> str:
    if isinstance(error, SystemExit):
        return on_one_line(exit_text(error), TRACE_FILE)
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        # For a union, pydantic's place also names the member that was tried, as in `constrained-int`.
        keys = map(str, fault["loc"])
        place = ".".join(key for key in keys if key.isidentifier() or key.isdigit())
        text = f"{place}: {fault['msg']}"
    first, *rest = text.splitlines() or [""]
    if "in DataLoader worker process" not in first:
        return on_one_line(text, TRACE_FILE)
    # An exception from a data-loading worker comes with its indented trace, and the cause below it.
    below = (line for line in rest[1:] if not line.startswith(" "))
    return on_one_line(next(below, first).partition(": ")[2] or first, TRACE_FILE)
