"""Metrics of a classification, from sums that stay on the device until the validation ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.data.source import Batch
from trainables.images.classes import Confusion
from trainables.images.targets import NO_CLASS
from trainables.ranks.merged import Total

NUM_BINS = 15
"""Number of bins of the expected calibration error, as in Guo et al. 2017 (arXiv:1706.04599)."""


class ClassificationMetrics(Confusion):
    """Counts true against predicted classes, and how sure the model was where it was right."""

    _bins: Tensor | None = None

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add logits [B, K] against the labels int64 [B] of `batch`; skipped samples do not count."""
        labels = batch[1]
        confidence, predicted = outputs.float().softmax(dim=1).max(dim=1)
        known = labels != NO_CLASS
        self.count(labels, predicted, known)
        if self._bins is None:
            self._bins = torch.zeros(3, NUM_BINS, dtype=torch.float64, device=labels.device)
        # Bins are open below and closed above: ((m - 1) / M, m / M].
        bins = (confidence * NUM_BINS).ceil().long().clamp(1, NUM_BINS) - 1
        values = torch.stack([known.to(confidence), confidence * known, predicted.eq(labels).to(confidence)])
        self._bins.scatter_add_(1, bins.expand(3, -1), values.double())

    def merge(self, total: Total) -> None:
        """Add what other processes of the trial have counted."""
        super().merge(total)
        self._bins = total(self._bins)

    def compute(self) -> dict[str, float]:
        """`accuracy`, `balanced_accuracy`, `macro_f1` and `calibration_error`.

        Balanced accuracy is the mean recall of the classes that occur, the macro F1 score the mean over the
        classes that occur or are predicted. The calibration error is the expected one: confidence against
        accuracy in `NUM_BINS` bins of equal width, weighted by their samples.
        """
        confusion = self.confusion().astype(np.float64)
        hits, truth, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
        occurs, either = truth > 0, truth + predicted > 0
        number = truth.sum()
        if not number or self._bins is None:
            return dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "calibration_error"), np.nan)
        _, confidence, right = self._bins.cpu().numpy()
        return {
            "accuracy": float(hits.sum() / number),
            "balanced_accuracy": float((hits[occurs] / truth[occurs]).mean()),
            "macro_f1": float((2.0 * hits[either] / (truth + predicted)[either]).mean()),
            "calibration_error": float(np.abs(confidence - right).sum() / number),
        }
