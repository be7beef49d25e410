"""Segmentation metrics of a whole data set, from counts that stay on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.data.source import Batch
from trainables.images.classes import Confusion
from trainables.images.masks.packed import unpacked
from trainables.ranks.merged import Total
from trainables.segmentation.boundary import BoundaryCounts


class ConfusionMetrics(Confusion):
    """Metrics of the pixels of a validation.

    Args:
        class_names: One per class, in the order of the labels.
        ignore_index: Label of pixels that do not count.
        boundary_ratio: of boundary IoU, see `BoundaryCounts`; None: without it.
    """

    def __init__(
        self, class_names: Sequence[str], ignore_index: int = 255, boundary_ratio: float | None = None
    ) -> None:
        super().__init__(len(class_names))
        self._names, self._ignore = class_names, ignore_index
        self._boundary = _boundary(class_names, boundary_ratio)

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add logits [N, K, H, W] against the masks int64 [N, H, W] of `batch`."""
        self.add(batch[1], outputs.argmax(dim=1))

    def add(self, masks: Tensor, predicted: Tensor) -> None:
        """Add predicted classes against masks, both int64 [N, H, W]."""
        known = masks != self._ignore
        self.count(masks, predicted, known)
        if self._boundary is not None:
            self._boundary.count_labels(masks, predicted, known)

    def merge(self, total: Total) -> None:
        """Add what other processes of the trial have counted."""
        super().merge(total)
        if self._boundary is not None:
            self._boundary.merge(total)

    def compute(self) -> dict[str, float]:
        """`miou`, `mean_dice`, `pixel_accuracy`, and `iou/<class>` and `dice/<class>` of each class.

        Intersections and unions are summed over the data set before they are divided, as papers report.
        Means are over the classes that occur in truth or prediction; others have no value of their own.
        Without a single valid pixel the means are NaN.
        """
        confusion = self.confusion().astype(np.float64)
        hits, total = confusion.diagonal(), confusion.sum()
        either = confusion.sum(axis=0) + confusion.sum(axis=1) - hits
        accuracy = hits.sum() / total if total else np.nan
        return _values(self._names, hits, either, accuracy, self._boundary)


class SigmoidMetrics:
    """The same of classes that may overlap: an output above 0, a probability above 0.5, counts as yes.

    `pixel_accuracy` is the share of right answers, one for each pixel and class.
    """

    def __init__(self, class_names: Sequence[str], boundary_ratio: float | None = None) -> None:
        self._names, self._counts = class_names, np.zeros((4, len(class_names)))
        self._on_device: Tensor | None = None
        self._boundary = _boundary(class_names, boundary_ratio)

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add logits [N, K, H, W] against the masks int64 [N, H, W] of `batch`, see `masks.packed`."""
        self.add(batch[1], outputs > 0)

    def add(self, masks: Tensor, predicted: Tensor) -> None:
        """Add predicted classes bool [N, K, H, W] against such masks."""
        truth, known = unpacked(masks, len(self._names))
        predicted = predicted & known
        right = (predicted == truth) & known
        planes = (predicted & truth, predicted | truth, right, known.expand_as(truth))
        counts = torch.stack([each.sum(dim=(0, 2, 3)) for each in planes])
        self._on_device = counts if self._on_device is None else self._on_device + counts
        if self._boundary is not None:
            self._boundary.count_planes(truth, predicted, known)

    def merge(self, total: Total) -> None:
        """As that of `ConfusionMetrics`."""
        self._on_device = total(self._on_device)
        if self._boundary is not None:
            self._boundary.merge(total)

    def compute(self) -> dict[str, float]:
        """As that of `ConfusionMetrics`."""
        if self._on_device is not None:
            self._counts = self._on_device.cpu().numpy().astype(np.float64)
        hits, either, right, known = self._counts
        accuracy = right.sum() / known.sum() if known.sum() else np.nan
        return _values(self._names, hits, either, accuracy, self._boundary)


def _boundary(class_names: Sequence[str], ratio: float | None) -> BoundaryCounts | None:
    return None if ratio is None else BoundaryCounts(len(class_names), ratio)


def _values(
    names: Sequence[str],
    hits: np.ndarray,
    either: np.ndarray,
    accuracy: float,
    boundary: BoundaryCounts | None,
) -> dict[str, float]:
    """Metrics from the pixels that truth and prediction share, and those of either: float64 [K]."""
    seen = either > 0
    iou = hits[seen] / either[seen]
    dice = 2.0 * hits[seen] / (either + hits)[seen]
    occurring = [name for name, known in zip(names, seen, strict=True) if known]
    return {
        "miou": float(iou.mean()) if occurring else np.nan,
        "mean_dice": float(dice.mean()) if occurring else np.nan,
        "pixel_accuracy": float(accuracy),
        **{f"iou/{name}": float(value) for name, value in zip(occurring, iou, strict=True)},
        **{f"dice/{name}": float(value) for name, value in zip(occurring, dice, strict=True)},
        **({} if boundary is None else boundary.compute(names)),
    }
