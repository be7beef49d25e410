"""The gradient of one optimizer step: micro-batches weighted by their valid targets, over all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from trainables.data.batches import Batch
from trainables.optim.precision import Precision
from trainables.ranks.gradients import GradientSum
from trainables.ranks.group import Ranks
from trainables.training.reported import check_loss

if TYPE_CHECKING:
    from trainables.task import Task

TINY = torch.finfo(torch.float32).tiny


class Shared:
    """What the step of a rank shares with those of the others.

    Args:
        ranks: of the trial.
        model: on its device.
    """

    def __init__(self, ranks: Ranks, model: nn.Module) -> None:
        self.ranks = ranks
        self.gradients = GradientSum(model, ranks.gradients)

    def weights(self, weights: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """Of the micro-batches, 0 where this rank only stands in; `sizes` are samples of all ranks."""
        return [
            weight if self.ranks.counts_in(size) else torch.zeros_like(weight)
            for weight, size in zip(weights, sizes, strict=True)
        ]


def backward(
    task: Task,
    model: nn.Module,
    batches: Sequence[Batch],
    precision: Precision,
    shared: Shared | None = None,
    sizes: Sequence[int] = (),
) -> Tensor:
    """The loss of one step, a scalar, after adding its gradient to the parameters'.

    Args:
        batches: the micro-batches, of each this rank's part.
        shared: with the other ranks; None in a trial of one process.
        sizes: samples of the micro-batches over all ranks, where there are others.
    """
    weights: Sequence[Tensor | float] = [task.loss_weight(batch) for batch in batches]
    total = None  # the share of a single micro-batch is 1
    if shared is not None:
        weights = counted = shared.weights([as_tensor(precision.device, w) for w in weights], sizes)
        total = shared.ranks.sum(torch.stack(counted).sum(0)).clamp_min(TINY)
    elif len(batches) > 1:
        total = torch.stack([as_tensor(precision.device, w) for w in weights]).sum(0).clamp_min(TINY)
    step_loss = None
    for number, (batch, weight) in enumerate(zip(batches, weights, strict=True), 1):
        if shared is not None:
            shared.ranks.num_samples = sizes[number - 1]
        with precision.autocast():
            outputs = task.forward(model, batch)
            loss = task.loss(outputs, batch)
            check_loss(loss, weight)
            loss = _zero_if_unweighted(loss, weight) if total is None else mul_or_zero(loss, weight / total)
            loss = loss.sum() if loss.dim() else loss
        step_loss = loss.detach() if step_loss is None else step_loss + loss.detach()
        if shared is not None and number == len(batches):
            shared.gradients.expect(step_loss)
        precision.scaler.scale(loss).backward()
    assert step_loss is not None
    return step_loss if shared is None else shared.gradients.finish()


def as_tensor(device: torch.device, weight: Tensor | float) -> Tensor:
    """The weight as a tensor; the host does not wait for the device."""
    return weight if isinstance(weight, Tensor) else torch.full((), weight, device=device)


def mul_or_zero(loss: Tensor, weight: Tensor) -> Tensor:
    """The product, and 0 where the weight is 0: the mean over no valid target is NaN in most losses."""
    return torch.where(weight > 0, loss * weight, 0.0)


def _zero_if_unweighted(loss: Tensor, weight: Tensor | float) -> Tensor:
    """The loss where its weight is above 0, else 0."""
    # On a CPU looking at the value costs less than the kernel that it saves.
    if not isinstance(weight, Tensor) or weight.is_cpu:
        least = weight.min().item() if isinstance(weight, Tensor) else weight
        if least > 0:
            return loss
    return torch.where(as_tensor(loss.device, weight) > 0, loss, 0.0)
