"""Segmentation metrics of a whole data set, from one confusion matrix that stays on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.data.source import Batch


class ConfusionMetrics:
    """Counts true against predicted classes over a validation; the host sees numbers only in `compute`.

    Args:
        class_names: One per class, in the order of the labels.
        ignore_index: Label of pixels that do not count.
    """

    def __init__(self, class_names: Sequence[str], ignore_index: int = 255) -> None:
        self._names = [str(name) for name in class_names]
        self._ignore = ignore_index
        self._counts: Tensor | None = None

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add logits [N, K, H, W] against the masks int64 [N, H, W] of `batch`."""
        num_classes = len(self._names)
        masks = batch[1]
        cells = masks * num_classes + outputs.argmax(dim=1)
        cells = cells.where(masks != self._ignore, num_classes**2).flatten()
        counts = _count(cells, num_classes**2 + 1)
        self._counts = counts if self._counts is None else self._counts + counts

    def confusion(self) -> np.ndarray:
        """int64 [K, K]: rows the truth, columns the prediction."""
        num_classes = len(self._names)
        if self._counts is None:
            return np.zeros((num_classes, num_classes), np.int64)
        return self._counts[:-1].view(num_classes, num_classes).cpu().numpy()

    def compute(self) -> dict[str, float]:
        """`miou`, `mean_dice`, `pixel_accuracy`, and `iou/<class>` of each class.

        Intersections and unions are summed over the data set before they are divided, as papers report.
        Means are over the classes that occur in truth or prediction; others have no `iou/<class>`. Without
        a single valid pixel the means are NaN.
        """
        confusion = self.confusion().astype(np.float64)
        hits = confusion.diagonal()
        either = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
        seen = either > 0
        total = confusion.sum()
        if total == 0:
            return {"miou": np.nan, "mean_dice": np.nan, "pixel_accuracy": np.nan}
        iou = hits[seen] / either[seen]
        dice = 2.0 * hits[seen] / (either + hits)[seen]
        names = [name for name, known in zip(self._names, seen, strict=True) if known]
        return {
            "miou": float(iou.mean()),
            "mean_dice": float(dice.mean()),
            "pixel_accuracy": float(hits.sum() / total),
            **{f"iou/{name}": float(value) for name, value in zip(names, iou, strict=True)},
        }


def _count(cells: Tensor, length: int) -> Tensor:
    """How often each of 0 .. length - 1 occurs: int64 [length].

    bincount asks the device for the largest value and so waits for it; elsewhere than on the CPU, where
    that costs nothing, the same is counted by adding ones.
    """
    if cells.device.type == "cpu":
        return torch.bincount(cells, minlength=length)
    return torch.zeros(length, dtype=torch.int64, device=cells.device).scatter_add_(
        0, cells, torch.ones_like(cells)
    )
