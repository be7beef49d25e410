"""Cross-entropy with label smoothing, class weights and mixed targets, exact under accumulation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.data.source import Batch

_TINY = torch.finfo(torch.float32).tiny


class ClassificationLoss:
    """The mean over samples, each weighted by its class; of a mixed sample by both of its classes.

    `weight` gives the sum of those weights, so that means averaged with them over micro-batches are exactly
    the mean of the large batch.

    Args:
        class_weights: One per class; none weighs all alike.
        label_smoothing: Share of the target that is spread over all classes (Szegedy et al. 2015,
            arXiv:1512.00567).
    """

    def __init__(self, class_weights: np.ndarray | None = None, label_smoothing: float = 0.0) -> None:
        self._weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self._label_smoothing = label_smoothing

    def mean(self, logits: Tensor, batch: Batch) -> Tensor:
        """Scalar, from logits [B, K] and a batch of `ClassificationSource`."""
        logits = logits.float()
        if len(batch) == 2:
            losses = self._each(logits, batch[1])
        else:
            _, labels, others, share = batch
            losses = share * self._each(logits, labels) + (1.0 - share) * self._each(logits, others)
        return losses.sum() / self.weight(batch).clamp_min(_TINY)

    def weight(self, batch: Batch) -> Tensor:
        """Scalar: the number of samples, weighted by class."""
        labels = batch[1]
        weights = self._weights_on(labels.device)
        if weights is None:
            return torch.full((), float(len(labels)), device=labels.device)
        if len(batch) == 2:
            return weights[labels].sum()
        _, _, others, share = batch
        return (share * weights[labels] + (1.0 - share) * weights[others]).sum()

    def _each(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(
            logits,
            labels,
            weight=self._weights_on(logits.device),
            reduction="none",
            label_smoothing=self._label_smoothing,
        )

    def _weights_on(self, device: torch.device) -> Tensor | None:
        if self._weights is not None and self._weights.device != device:
            self._weights = self._weights.to(device)
        return self._weights


def balanced_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """N / (K * number of samples of the class): float64 [K].

    A class without a sample has weight 1: there is nothing to balance.
    """
    counts = np.bincount(labels, minlength=num_classes)
    return np.where(counts > 0, len(labels) / (num_classes * np.maximum(counts, 1)), 1.0)
