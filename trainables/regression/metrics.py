"""Metrics of a regression in the target's own units, from sums that stay on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.data.source import Batch
from trainables.ranks.merged import Total


class RegressionMetrics:
    """Adds up errors of standardized targets.

    Args:
        target_std: Deviation by which the targets were divided.
    """

    def __init__(self, target_std: float) -> None:
        self._std = target_std
        self._sums: Tensor | None = None

    def update(self, outputs: Any, batch: Batch) -> None:
        """Add outputs [B, 1] against the targets [B, 1] of `batch`."""
        targets = batch[1].double()
        errors = outputs.double() - targets
        values = (torch.ones_like(errors), errors**2, errors.abs(), targets, targets**2)
        sums = torch.stack([value.sum() for value in values])
        self._sums = sums if self._sums is None else self._sums + sums

    def merge(self, total: Total) -> None:
        """Add what other processes of the trial have added up."""
        self._sums = total(self._sums)

    def compute(self) -> dict[str, float]:
        """`mse`, `rmse`, `mae` and `r2`, the coefficient of determination.

        Where all targets are equal, `r2` is 1 for no error at all and else 0, as scikit-learn has it.
        """
        if self._sums is None:
            return dict.fromkeys(("mse", "rmse", "mae", "r2"), np.nan)
        number, squared, absolute, total, total_squared = self._sums.tolist()
        mse = squared / number * self._std**2
        spread = total_squared - total**2 / number
        # Targets that are equal leave what rounding makes of them.
        varies = spread > 1e-12 * max(total_squared, 1.0)
        return {
            "mse": mse,
            "rmse": mse**0.5,
            "mae": absolute / number * self._std,
            "r2": 1.0 - squared / spread if varies else float(squared == 0.0),
        }
