"""Small real problems for the tests: scikit-learn's digits read by a perceptron, milliseconds a step."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.options import TrialOptions
from trainables.task import Task


class AccuracyMetrics:
    def __init__(self) -> None:
        self._right, self._all = torch.zeros(()), 0

    def update(self, outputs: Tensor, batch: Any) -> None:
        self._right = self._right + (outputs.argmax(1) == batch[1]).sum()
        self._all += len(batch[1])

    def compute(self) -> dict[str, float]:
        return {"accuracy": float(self._right) / self._all}


class DigitsTask(Task):
    """8x8 digits, ten classes, a perceptron of `model.hidden` units with dropout."""

    Options: ClassVar[type[TrialOptions]] = TrialOptions

    @classmethod
    def load_data(cls, options: TrialOptions) -> dict[str, np.ndarray]:
        digits = load_digits()
        return {"x": (digits.data / 16).astype(np.float32), "y": digits.target.astype(np.int64)}

    def train_data(self) -> Any:
        return self.arrays["x"][:1200], self.arrays["y"][:1200]

    def valid_data(self) -> Any:
        return self.arrays["x"][1200:], self.arrays["y"][1200:]

    def build_model(self) -> nn.Module:
        hidden = self.options.model.get("hidden", 16)
        return nn.Sequential(
            nn.Linear(64, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, 10)
        )

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        return F.cross_entropy(outputs, batch[1])

    def metrics(self) -> AccuracyMetrics:
        return AccuracyMetrics()


def search_config(**sections: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of DigitsTask; `sections` replace whole sections."""
    return {
        "name": "digits",
        "task": "tiny_tasks:DigitsTask",
        "objective": {"metric": "accuracy", "mode": "max"},
        "trial": {
            "model": {"hidden": {"choice": [8, 16, 32]}},
            "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}},
            "batch_size": 16,
        },
        "virtual_epoch": {"steps": 5},
        "budget": {"trials": 9, "max_virtual_epochs": 9},
        "sampler": {"name": "tpe", "seed": 0},
        **sections,
    }


class FailingTask(DigitsTask):
    """Raises in the virtual epoch `model.fail_at` whenever it gets there; never with 0."""

    def metrics(self) -> AccuracyMetrics:
        self._validations = getattr(self, "_validations", 0) + 1
        return super().metrics()

    def forward(self, model: nn.Module, batch: Any) -> Any:
        if model.training and self._due():
            raise RuntimeError(f"virtual epoch {self.options.model['fail_at']} is cursed")
        return super().forward(model, batch)

    def _due(self) -> bool:
        return self.options.model["fail_at"] == getattr(self, "_validations", 0) + 1


class InterruptedTask(DigitsTask):
    """Presses Ctrl-C in its first validation, unless the file `data.pressed` says that it did."""

    def metrics(self) -> AccuracyMetrics:
        pressed = Path(self.options.data["pressed"])
        if not pressed.exists():
            pressed.touch()
            signal.raise_signal(signal.SIGINT)
        return super().metrics()


class SharedDataTask(DigitsTask):
    """Reports whether its data lies in the object store, and how many threads it has."""

    def metrics(self) -> AccuracyMetrics:
        shared = all(not array.flags.writeable and not array.flags.owndata for array in self.arrays.values())
        return _Constants(
            {"accuracy": 0.5, "shared": float(shared), "threads": float(torch.get_num_threads())}
        )


class _Constants(AccuracyMetrics):
    def __init__(self, values: dict[str, float]) -> None:
        super().__init__()
        self._values = values

    def compute(self) -> dict[str, float]:
        return self._values


class RendezvousTask(DigitsTask):
    """Ends a virtual epoch only when `data.processes` processes have come as far, each with its own trial."""

    def metrics(self) -> AccuracyMetrics:
        folder, wanted = Path(self.options.data["folder"]), self.options.data["processes"]
        (folder / str(os.getpid())).touch()
        deadline = time.monotonic() + 120
        while len(list(folder.iterdir())) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only {len(list(folder.iterdir()))} processes came, not {wanted}")
        return super().metrics()


class PeakTask(DigitsTask):
    """Holds 1 GB for three seconds of the first validation in each process, and only then."""

    held: ClassVar[bool] = False

    def metrics(self) -> AccuracyMetrics:
        if not PeakTask.held:
            PeakTask.held = True
            block, until = np.ones(125_000_000), time.monotonic() + 3.0
            while time.monotonic() < until:
                block.fill(2.0)
        return super().metrics()
