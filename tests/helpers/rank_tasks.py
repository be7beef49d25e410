"""Tasks for trials of several processes."""

from __future__ import annotations

from typing import Any

import torch
from tiny_tasks import AccuracyMetrics, DigitsTask
from torch import Tensor, nn
from torch import distributed as dist


class MergedAccuracy(AccuracyMetrics):
    def merge(self, total: Any) -> None:
        self._right = total(self._right)
        self._all = int(total(torch.tensor(self._all)))


class SharedDigits(DigitsTask):
    """Digits whose metrics can be put together."""

    def metrics(self) -> AccuracyMetrics:
        return MergedAccuracy()


class FailsOnRank1(SharedDigits):
    """Raises on rank 1 alone, in the second virtual epoch."""

    _losses = 0

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        self._losses += outputs.requires_grad
        if self._losses > 3 and dist.get_rank() == 1:
            raise ValueError("the samples of rank 1 are cursed")
        return super().loss(outputs, batch)


class Branching(SharedDigits):
    """A model with a branch that no rank, and one that rank 1 alone, goes through."""

    def build_model(self) -> nn.Module:
        return Branches()


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.main, self.second, self.never = nn.Linear(64, 10), nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.main(inputs)
        is_second = dist.is_initialized() and dist.get_rank() == 1 and self.training
        return outputs + self.second(inputs) if is_second else outputs


def mean_confidence(outputs: Tensor, targets: Tensor) -> float:
    """A metric that is called: the mean over a batch."""
    return float(outputs.softmax(1).max(1).values.mean())
