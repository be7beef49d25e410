"""Batch normalization that also trains on a single value."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class _TakesOneValue(nn.Module):
    """Batch normalization by the running statistics where a batch has one value per channel.

    That has no deviation, and torch refuses it. The last batch of an epoch may be one row.
    """

    as_torch = True
    """Of any other batch it is torch's, so that `ranks.batch_norm.synchronize` may stand in for it."""

    def forward(self: Any, input: Tensor) -> Tensor:
        if not self.training or input.numel() // input.shape[1] > 1:
            return super().forward(input)
        return nn.functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )


class BatchNorm1d(_TakesOneValue, nn.BatchNorm1d):
    """Torch's batch normalization (arXiv:1502.03167) that also takes one training row."""


class BatchNorm2d(_TakesOneValue, nn.BatchNorm2d):
    """Torch's batch normalization (arXiv:1502.03167) that also takes one training pixel."""
