"""Watches from outside how much memory the processes of trials take."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from search.forecast.costs import Memory
from trainables.process.gpu_share import gpu_uuid
from trainables.process.nvml import device_used

_PROC = Path("/proc")
_INTERVAL = 0.5
_WORKERS = (b"Trainable", b"_Inner.")
"""In the title of Ray's processes that run trials: between calls it is `ray::TrialTrainable`, or
`ray::ResourceTrainable` where Tune has given it resources; within one, that of Tune's wrapper,
`ray::_Inner.train`."""


class MemoryWatch:
    """The most that was seen so far."""

    def __init__(self, *, local: bool, gpu: bool, concurrency: int) -> None:
        self._local, self._concurrency = local, concurrency
        self._uuid = gpu_uuid() if gpu else None
        self._before = None if self._uuid is None else device_used(self._uuid)
        self._process, self._gpu = 0, 0

    def look(self) -> None:
        """Look once."""
        pids = [os.getpid()] if self._local else _workers(os.getpid())
        self._process = max([self._process, *(_proportional_bytes(pid) for pid in pids)])
        if self._uuid is not None and self._before is not None:
            self._gpu = max(self._gpu, (device_used(self._uuid) or 0) - self._before)

    @property
    def found(self) -> Memory | None:
        """What one trial takes; None where this system does not say."""
        if not self._process:
            return None
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if not self._gpu:
            return Memory(self._process, total)
        on_one = max(1, -(-self._concurrency // torch.cuda.device_count()))
        return Memory(
            self._process, total, self._gpu / on_one, torch.cuda.get_device_properties(0).total_memory
        )


@contextmanager
def watched_memory(watch: MemoryWatch) -> Iterator[None]:
    """Look every half second."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_INTERVAL):
            watch.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _workers(ancestor: int) -> list[int]:
    """Processes below this one that run trials."""
    parents: dict[int, int] = {}
    for folder in _PROC.glob("[0-9]*"):
        with suppress(OSError, ValueError, IndexError):
            # The name, in parentheses, may hold anything.
            parents[int(folder.name)] = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
    found = []
    for pid in parents:
        with suppress(OSError):
            title = (_PROC / str(pid) / "cmdline").read_bytes()
            if any(each in title for each in _WORKERS) and _is_below(pid, ancestor, parents):
                found.append(pid)
    return found


def _is_below(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != ancestor:
        pid = parents[pid]
    return pid == ancestor


def _proportional_bytes(pid: int) -> int:
    """Resident memory, with its part of what it shares with other processes; 0 if it has gone."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Pss:"))) * 1024
    return 0
