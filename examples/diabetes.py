"""The 442 rows of scikit-learn's diabetes data for the examples: nothing to download."""

from __future__ import annotations

import torch
from sklearn.datasets import load_diabetes
from torch import Tensor

NUM_TRAIN = 342

Part = tuple[Tensor, Tensor]


def rows_and_targets() -> tuple[Part, Part]:
    """Rows [N, 10] and standardized targets [N, 1] for training, and for validation."""
    rows, targets = load_diabetes(return_X_y=True, scaled=False)
    rows, targets = (torch.from_numpy(array).float() for array in (rows, targets[:, None]))
    rows, targets = (
        (column - column[:NUM_TRAIN].mean(0)) / column[:NUM_TRAIN].std(0) for column in (rows, targets)
    )
    return (rows[:NUM_TRAIN], targets[:NUM_TRAIN]), (rows[NUM_TRAIN:], targets[NUM_TRAIN:])
