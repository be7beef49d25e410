"""Batches of data-loading workers arrive also where shared memory has no room for them.

Torch's workers put tensors into shared memory in a background thread. Where that fails (/dev/shm is full:
64 MB in a container unless it was asked for more), Python prints a trace and drops the batch, and the trial
would wait for it for ever. Here that worker sends its batches through its pipe from then on, and what cannot
be sent at all is an error.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import util
from typing import Any

from torch.utils.data import DataLoader

from trainables.process.patches import (
    collate_without_shared_memory,
    on_lost_results,
    send_without_shared_memory,
)
from trainables.process.places import LONGEST_SOCKET, socket_folder

SHARED_MEMORY = "/dev/shm"

_BELOW = len("/pymp-12345678/listener-12345678")

log = logging.getLogger(__name__)

_notes: list[str] = []
_noted: set[str] = set()


def take_notes() -> list[str]:
    """What a person should know about this process's workers; each line is given once."""
    taken = list(_notes)
    _notes.clear()
    return taken


class HandingOver:
    """A `worker_init_fn` that makes a worker hand over every batch, then calls another one."""

    def __init__(self, begin: Callable[[int], None] | None = None) -> None:
        self._begin = begin

    def __call__(self, worker: int) -> None:
        on_lost_results(_sent_otherwise)
        collate_without_shared_memory()
        if self._begin is not None:
            self._begin(worker)


def iterator_of(loader: Any) -> Iterator[Any]:
    """`iter(loader)`, whose workers, if it starts any, hand over every batch; read it with `next_from`.

    Raises:
        RuntimeError: the workers cannot be started.
    """
    if not (isinstance(loader, DataLoader) and loader.num_workers):
        return iter(loader)
    _keep_sockets_short()
    begin = loader.worker_init_fn
    loader.worker_init_fn = HandingOver(begin)
    try:
        return iter(loader)
    except OSError as error:
        raise RuntimeError(
            f"data-loading workers cannot be started ({error}): they need room in {SHARED_MEMORY} "
            f"({_room()}), and a temporary folder with a short path; or read with 0 workers"
        ) from error
    finally:
        loader.worker_init_fn = begin


def unpacked(result: Any) -> Any:
    """What a worker made, however it was sent.

    Raises:
        RuntimeError: it could not be sent.
    """
    if isinstance(result, _Unsent):
        raise RuntimeError(result.text)
    if not isinstance(result, _ByPipe):
        return result
    _note(
        f"{SHARED_MEMORY} ({result.room}) had no room for a batch of the data-loading workers: they come "
        "through pipes, which is slower. More room (docker run --shm-size=8g), fewer workers or smaller "
        f"batches avoid that [{result.reason}]"
    )
    return result.result


def _keep_sockets_short() -> None:
    """Let multiprocessing make its sockets where their paths are short enough, also in a long TMPDIR."""
    long = tempfile.gettempdir()
    folder = None if len(os.fsencode(long)) <= LONGEST_SOCKET - _BELOW else socket_folder(_BELOW)
    if folder is not None:
        tempfile.tempdir = str(folder)
        try:
            util.get_temp_dir()  # which it keeps
        finally:
            tempfile.tempdir = long


@dataclass(frozen=True)
class _ByPipe:
    """The first result of a worker that is not in shared memory, and why."""

    result: Any
    reason: str
    room: str
    """What there was of shared memory at that time."""


@dataclass(frozen=True)
class _Unsent:
    text: str


def _sent_otherwise(result: Any, error: Exception) -> Any:
    """In a worker: what to send for a result that could not be sent."""
    reason = f"{type(error).__name__}: {_first_line(error)}"
    if isinstance(result, _ByPipe):
        return _Unsent(f"a data-loading worker cannot send its batch: {reason}")
    send_without_shared_memory()
    return _ByPipe(result, reason, _room())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _room() -> str:
    with suppress(OSError):
        room = shutil.disk_usage(SHARED_MEMORY)
        return f"{room.free / 2**20:,.0f} of {room.total / 2**20:,.0f} MiB are free"
    return "is not there"


def _note(text: str) -> None:
    """Say it once in this process, whatever the numbers."""
    if SHARED_MEMORY not in _noted:
        _noted.add(SHARED_MEMORY)
        _notes.append(text)
        log.warning("%s", text)
