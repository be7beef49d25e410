"""What is averaged of the outputs of several models: probabilities, or values in the target's units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from trainables.classification.task import ClassificationTask
from trainables.predicting.ensemble import mean_of_logits
from trainables.regression.task import RegressionTask
from trainables.segmentation.task import SegmentationTask
from trainables.task import Task

NO_MEAN = {"gan": "a mean of images is no sample"}
"""Why outputs of a built-in task are not averaged."""
_LEAST = 2.0**-24
"""The least probability above 0 that float16 has: a class that no model gives any has a finite logit."""


class Average(ABC):
    """How outputs of one task become what is averaged, and the mean becomes outputs again."""

    kept_as: torch.dtype
    """Type in which what is averaged is kept on disk."""

    @abstractmethod
    def averaged(self, outputs: Tensor) -> Tensor:
        """What is averaged: float32, of outputs as `Task.forward` gives them."""

    @abstractmethod
    def outputs(self, mean: Tensor) -> Tensor:
        """Outputs, as metrics and loss take them, of a mean."""

    def together(self, averages: Sequence[Average], each: Iterable[Tensor], counts: Sequence[int]) -> Tensor:
        """Outputs of the mean of several models, as an exported ensemble predicts it.

        Args:
            averages: one for each of them; this one is that whose metrics are meant.
            each: their outputs.
            counts: how often each counts.
        """
        total = sum(
            average.averaged(outputs).double() * count
            for average, outputs, count in zip(averages, each, counts, strict=True)
        )
        return self.outputs((total / sum(counts)).float())  # type: ignore[union-attr]


class Probabilities(Average):
    """Of classes [N, K]."""

    kept_as = torch.float32

    def averaged(self, outputs: Tensor) -> Tensor:
        return outputs.float().softmax(dim=1)

    def outputs(self, mean: Tensor) -> Tensor:
        return mean.clamp_min(_LEAST).log()


class PixelProbabilities(Probabilities):
    """Of classes at each pixel [N, K, H, W], which may overlap."""

    kept_as = torch.float16  # 11 bits at any scale, in half of the space

    def __init__(self, *, overlapping: bool) -> None:
        self._overlapping = overlapping

    def averaged(self, outputs: Tensor) -> Tensor:
        return outputs.float().sigmoid() if self._overlapping else super().averaged(outputs)

    def outputs(self, mean: Tensor) -> Tensor:
        return mean.clamp(_LEAST, 1.0 - _LEAST).logit() if self._overlapping else super().outputs(mean)

    def together(self, averages: Sequence[Average], each: Iterable[Tensor], counts: Sequence[int]) -> Tensor:
        return mean_of_logits(each, counts, overlapping=self._overlapping)


class Values(Average):
    """In the target's units, of outputs [N, 1] that are standardized as each model's training data were."""

    kept_as = torch.float32

    def __init__(self, mean: float, std: float) -> None:
        self._mean, self._std = mean, std

    def averaged(self, outputs: Tensor) -> Tensor:
        return outputs.float() * self._std + self._mean

    def outputs(self, mean: Tensor) -> Tensor:
        return (mean - self._mean) / self._std


def has_mean(task_class: type[Task]) -> bool:
    """Whether the outputs of models of this task can be averaged."""
    return issubclass(task_class, SegmentationTask | ClassificationTask | RegressionTask)


def average_of(task: Task) -> Average:
    """Of a task that has one, see `has_mean`."""
    if isinstance(task, SegmentationTask):
        return PixelProbabilities(overlapping=task.overlapping)
    if isinstance(task, ClassificationTask):
        return Probabilities()
    assert isinstance(task, RegressionTask)
    target = task.preprocessing()["target"]
    return Values(target["mean"], target["std"])
