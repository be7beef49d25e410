"""Tasks for searches on several hosts."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from patience import PATIENCE
from tiny_tasks import AccuracyMetrics, DigitsTask

from trainables.options import TrialOptions


class FolderTask(DigitsTask):
    """Each trial reads the digits from `data.root`, as nothing is sent to it."""

    @classmethod
    def load_data(cls, options: TrialOptions) -> dict[str, np.ndarray]:
        return {}

    def _part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        with np.load(Path(self.options.data["root"], f"{name}.npz")) as arrays:
            return arrays["x"], arrays["y"]

    def train_data(self) -> tuple[np.ndarray, np.ndarray]:
        return self._part("train")

    def valid_data(self) -> tuple[np.ndarray, np.ndarray]:
        return self._part("valid")


def write_digits(root: Path) -> None:
    """The files that FolderTask reads."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for name in ("train", "valid"):
        x = rng.standard_normal((100, 64)).astype(np.float32)
        np.savez(root / f"{name}.npz", x=x, y=rng.integers(0, 10, 100))


class DevicesTask(DigitsTask):
    """Notes which GPUs its process sees, and ends only when `data.trials` trials run at once."""

    def metrics(self) -> AccuracyMetrics:
        folder = Path(self.options.data["folder"])
        (folder / f"{os.environ.get('CUDA_VISIBLE_DEVICES')}-{os.getpid()}").touch()
        wait_until(lambda: len(list(folder.iterdir())) >= self.options.data["trials"])
        return super().metrics()


class BrokenHostTask(DigitsTask):
    """Raises on the host `data.broken`, or only once; the others wait for the file `data.until`."""

    def metrics(self) -> AccuracyMetrics:
        data = self.options.data
        tried = Path(data["folder"], "tried")
        if socket.gethostname() != data["broken"]:
            wait_until(Path(data["folder"], data["until"]).exists)
        elif not (data.get("once") and tried.exists()):
            tried.touch()
            raise RuntimeError("this host is cursed")
        return super().metrics()


class MeetingTask(DigitsTask):
    """Ends a virtual epoch only when trials on `data.hosts` hosts have come as far, each once."""

    def metrics(self) -> AccuracyMetrics:
        folder, wanted = Path(self.options.data["folder"]), self.options.data["hosts"]
        (folder / socket.gethostname()).touch()
        wait_until(lambda: len(list(folder.iterdir())) >= wanted)
        return super().metrics()


class GatedTask(DigitsTask):
    """Ends its job's first virtual epoch at once, further ones only while the file `data.gate` is there.

    Notes host and process of each that has begun in the file `begun` beside it.
    """

    def metrics(self) -> AccuracyMetrics:
        gate = Path(self.options.data["gate"])
        with (gate.parent / "begun").open("a", encoding="utf-8") as out:
            out.write(f"{socket.gethostname()} {os.getpid()}\n")
        if hasattr(self, "_is_later"):
            wait_until(gate.exists)
        self._is_later = True
        return super().metrics()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came within {PATIENCE:g} s")
        time.sleep(0.05)
