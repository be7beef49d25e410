"""Batch normalization that also trains on a single value."""

from __future__ import annotations

from torch import Tensor, nn


class BatchNorm1d(nn.BatchNorm1d):
    """As in torch (arXiv:1502.03167), but one training row alone is normalized by the running statistics.

    One row has no deviation, and torch refuses it; the last batch of an epoch may be one row.
    """

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if _has_deviation(self, input) else _by_running(self, input)


class BatchNorm2d(nn.BatchNorm2d):
    """As in torch, but one training pixel alone is normalized by the running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) if _has_deviation(self, input) else _by_running(self, input)


def _has_deviation(module: nn.Module, batch: Tensor) -> bool:
    return not module.training or batch.numel() // batch.shape[1] > 1


def _by_running(module: nn.BatchNorm1d | nn.BatchNorm2d, batch: Tensor) -> Tensor:
    return nn.functional.batch_norm(
        batch, module.running_mean, module.running_var, module.weight, module.bias, False, 0.0, module.eps
    )
