"""Cross-entropy with label smoothing, class weights and mixed targets, exact under accumulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.data.source import Batch
from trainables.images.classes import ClassWeights
from trainables.images.targets import NO_CLASS
from trainables.imported_options import ImportedCall
from trainables.supervised.calls import ImportedLoss

_TINY = torch.finfo(torch.float32).tiny


class ClassificationLoss:
    """The mean over samples, each weighted by its class; of a mixed sample by both of its classes.

    A skipped sample, of class `NO_CLASS`, has no loss and no weight. `weight` gives the sum of the weights,
    so that means averaged with them over micro-batches are exactly the mean of the large batch.

    Args:
        class_weights: One per class; none weighs all alike.
        label_smoothing: Share of the target that is spread over all classes (Szegedy et al. 2015,
            arXiv:1512.00567).
    """

    def __init__(self, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> None:
        self._weights = ClassWeights(class_weights)
        self._label_smoothing = label_smoothing

    def mean(self, logits: Tensor, batch: Batch) -> Tensor:
        """Scalar, from logits [B, K] and a batch of `trainables.classification.mixup`."""
        logits = logits.float()

        def each(labels: Tensor) -> Tensor:
            return F.cross_entropy(
                logits,
                labels,
                weight=self._weights.on(logits.device),
                ignore_index=NO_CLASS,
                reduction="none",
                label_smoothing=self._label_smoothing,
            )

        return _mixed(batch, each).sum() / self.weight(batch).clamp_min(_TINY)

    def weight(self, batch: Batch) -> Tensor:
        """Scalar: the number of samples, weighted by class."""
        return _mixed(batch, lambda labels: self._weights.of(labels, labels != NO_CLASS)).sum()


class ImportedClassLoss:
    """A loss of yours, the mean over the samples that have a class."""

    def __init__(self, options: ImportedCall) -> None:
        self._loss = ImportedLoss(options, NO_CLASS)

    def mean(self, logits: Tensor, batch: Batch) -> Tensor:
        """Scalar, from logits [B, K] and (inputs, classes int64 [B])."""
        return self._loss.mean(logits, batch[1])

    def weight(self, batch: Batch) -> Tensor:
        """Scalar: the number of samples."""
        return (batch[1] != NO_CLASS).sum().float()


def _mixed(batch: Batch, each: Callable[[Tensor], Tensor]) -> Tensor:
    """What `each` makes of the class of each sample, or of both of its classes by their shares: [B]."""
    if len(batch) == 2:
        return each(batch[1])
    _, labels, others, share = batch
    return share * each(labels) + (1.0 - share) * each(others)


def balanced_weights(class_counts: np.ndarray) -> np.ndarray:
    """N / (K * number of samples of the class): float64 [K].

    A class without a sample has weight 1: there is nothing to balance.
    """
    balanced = class_counts.sum() / (len(class_counts) * np.maximum(class_counts, 1))
    return np.where(class_counts > 0, balanced, 1.0)
