"""Segmentation metrics of a whole data set, from one confusion matrix that stays on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainables.data.source import Batch
from trainables.images.classes import Confusion


class ConfusionMetrics(Confusion):
    """Metrics of the pixels of a validation.

    Args:
        class_names: One per class, in the order of the labels.
        ignore_index: Label of pixels that do not count.
    """

    def __init__(self, class_names: Sequence[str], ignore_index: int = 255) -> None:
        super().__init__(len(class_names))
        self._names, self._ignore = class_names, ignore_index

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add logits [N, K, H, W] against the masks int64 [N, H, W] of `batch`."""
        masks = batch[1]
        self.count(masks, outputs.argmax(dim=1), masks != self._ignore)

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
