"""The work that every contender of overhead.py does in its trials: a real model, and a wait of known length.

A virtual epoch waits on the clock, as a trial does for its accelerator, so that trials at once do not take
processor time from each other on a small machine; then one optimizer step of a small network is made.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.options import TrialOptions
from trainables.task import Task

LOG = "OVERHEAD_LOG"
"""Environment variable: the file that each virtual epoch writes its begin and end into."""


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def wait(seconds: float) -> None:
    """One line in the log, in one write: when the wait began and ended, on the clock of all processes."""
    begin = time.monotonic()
    time.sleep(seconds)
    line = f"{begin} {time.monotonic()}\n"
    descriptor = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


class PlainTrial:
    """What a person would write: model, optimizer, one step at a time, a checkpoint."""

    def __init__(self, seconds: float) -> None:
        torch.set_num_threads(1)
        self.seconds = seconds
        self.model = make_model()
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.inputs, self.targets = torch.randn(16, 64), torch.randint(10, (16,))

    def virtual_epoch(self) -> float:
        wait(self.seconds)
        loss = F.cross_entropy(self.model(self.inputs), self.targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def save(self, file: Path) -> None:
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}, file)


class NoMetrics:
    """The validation loss, which every task reports, is enough."""

    def update(self, outputs: Tensor, batch: Any) -> None: ...

    def compute(self) -> dict[str, float]:
        return {}


class TimedTask(Task):
    """The same as a task of this project; `model.seconds` is the wait."""

    Options: ClassVar[type[TrialOptions]] = TrialOptions

    @classmethod
    def load_data(cls, options: TrialOptions) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(0)
        return {
            "x": generator.normal(size=(32, 64)).astype(np.float32),
            "y": generator.integers(10, size=32),
        }

    def train_data(self) -> Any:
        return self.arrays["x"][:16], self.arrays["y"][:16]

    def valid_data(self) -> Any:
        return self.arrays["x"][16:], self.arrays["y"][16:]

    def build_model(self) -> nn.Module:
        return make_model()

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        if torch.is_grad_enabled():
            wait(self.options.model["seconds"])
        return F.cross_entropy(outputs, batch[1])

    def metrics(self) -> NoMetrics:
        return NoMetrics()
