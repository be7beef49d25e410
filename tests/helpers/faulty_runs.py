"""What the tests of faults of whole runs share: searches that wait, and searches that are interrupted."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from patience import PATIENCE
from recorder import Recorder
from tiny_tasks import AccuracyMetrics, DigitsTask

from search.run.events import Event, EventKind
from trainables.options import TrialOptions


class HeldTask(DigitsTask):
    """Ends no virtual epoch while a test holds the file `data.hold`, see `held`; and prints, as tasks do."""

    def metrics(self) -> AccuracyMetrics:
        hold = Path(self.options.data["hold"])
        mark = hold.with_name(f"{hold.name}-{os.getpid()}")
        mark.touch()
        with hold.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
        mark.unlink()
        print("validating")
        return super().metrics()


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold back each HeldTask at the end of its virtual epoch."""
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def wait_until_one_is_held(file: Path, limit: float = PATIENCE) -> None:
    """Wait until a HeldTask stands at the end of its virtual epoch; fails at the limit."""
    deadline = time.monotonic() + limit
    while not any(Path(f"/proc/{mark.name.rpartition('-')[2]}").exists() for mark in _marks(file)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _marks(file: Path) -> Iterator[Path]:
    """Of processes that are held, and of some that were killed there."""
    return file.parent.glob(f"{file.name}-*")


class StoredDigitsTask(DigitsTask):
    """Digits from the file `data.file`, whose path may be relative to where the search is started."""

    @classmethod
    def load_data(cls, options: TrialOptions) -> dict[str, np.ndarray]:
        with np.load(options.data["file"]) as arrays:
            return dict(arrays)


class Watching(Recorder):
    """Keeps all that is shown, and acts at events."""

    def __init__(self, act: Callable[[Event], None] = lambda event: None) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._act = act

    def phase(self, text: str) -> None:
        self.lines.append(text)

    def note(self, text: str) -> None:
        self.lines.append(text)

    def event(self, event: Event) -> None:
        super().event(event)
        self.lines.append(f"trial {event.record.number} {event.kind.value} {event.text}")
        self._act(event)


def interrupted_at(number: int, depth: int) -> Watching:
    """Presses Ctrl-C when this trial has come so far."""

    def act(event: Event) -> None:
        if event.kind is EventKind.REPORTED and (event.record.number, event.record.depth) == (number, depth):
            signal.raise_signal(signal.SIGINT)

    return Watching(act)


def sections_with(hold: Path) -> dict[str, Any]:
    """One trial at a time, so that two searches can be compared."""
    hold.touch()
    return {
        "task": "faulty_runs:HeldTask",
        "trial": {
            "data": {"hold": str(hold)},
            "model": {"hidden": {"choice": [8, 16, 32]}},
            "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}},
            "batch_size": 16,
        },
        "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
        "virtual_epoch": {"steps": 60},
        "checkpoint": {"keep_trials": 9},
    }


def interrupted_after(reports: int | None) -> Watching:
    """Presses Ctrl-C after so many reports; None never."""
    left = [reports]

    def act(event: Event) -> None:
        if event.kind is EventKind.REPORTED and left[0] is not None:
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGINT)

    return Watching(act)
