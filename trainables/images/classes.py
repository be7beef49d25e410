"""What losses and metrics of pixels and of samples share: weights of classes, and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.ranks.merged import Total


class ClassWeights:
    """One weight per class, float32 on the device of the labels; None weighs all classes alike."""

    def __init__(self, weights: np.ndarray | None) -> None:
        self._weights = None if weights is None else torch.tensor(weights, dtype=torch.float32)

    def on(self, device: torch.device) -> Tensor | None:
        """[K]; copied to a device once."""
        if self._weights is not None and self._weights.device != device:
            self._weights = self._weights.to(device)
        return self._weights

    def of(self, labels: Tensor, known: Tensor) -> Tensor:
        """The weight of each label's class, 0 where it is not `known`: in the shape of `labels`."""
        weights = self.on(labels.device)
        return known.float() if weights is None else weights[labels.where(known, 0)] * known


def given_class_weights(weights: Sequence[float], class_names: Sequence[str]) -> np.ndarray:
    """The weights of `loss.class_weights`, one per class: float64 [K].

    Raises:
        ValueError: if their number differs from that of the classes.
    """
    if len(weights) != len(class_names):
        raise ValueError(
            f"loss.class_weights has {len(weights)} numbers; there are {len(class_names)} classes: "
            f"{', '.join(class_names)}"
        )
    return np.array(weights)


def class_numbers(classes: Sequence[int | str], class_names: Sequence[str]) -> list[int]:
    """The numbers of `augment.oversample.classes`, given by name or number; of none given all.

    Raises:
        ValueError: if there is no such class.
    """
    numbers = dict(zip(class_names, range(len(class_names)), strict=True))
    for name in classes:
        if name not in numbers and name not in numbers.values():
            raise ValueError(
                f"augment.oversample.classes names {name!r}; there are {len(class_names)} classes, by name "
                f"or by number from 0: {', '.join(class_names)}"
            )
    return [name if isinstance(name, int) else numbers[name] for name in classes] or list(numbers.values())


class Confusion:
    """Counts true against predicted classes over a validation; the host sees numbers only in `confusion`."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._counts: Tensor | None = None

    def count(self, labels: Tensor, predicted: Tensor, known: Tensor) -> None:
        """Add labels where they are `known`; all three have one shape."""
        num_classes = self._num_classes
        cells = (labels * num_classes + predicted).where(known, num_classes**2).flatten()
        if cells.device.type == "cpu":
            counts = torch.bincount(cells, minlength=num_classes**2 + 1)
        else:  # bincount would wait for the device to know the largest value
            counts = torch.zeros(num_classes**2 + 1, dtype=torch.int64, device=cells.device)
            counts.scatter_add_(0, cells, torch.ones_like(cells))
        self._counts = counts if self._counts is None else self._counts + counts

    def merge(self, total: Total) -> None:
        """Add the counts of other processes of the trial."""
        self._counts = total(self._counts)

    def confusion(self) -> np.ndarray:
        """int64 [K, K]: rows the truth, columns the prediction."""
        shape = self._num_classes, self._num_classes
        if self._counts is None:
            return np.zeros(shape, np.int64)
        return self._counts[:-1].view(shape).cpu().numpy()
