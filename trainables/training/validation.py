"""The metrics and the loss of one validation, added up batch by batch on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from trainables.data.batches import Batch
from trainables.ranks.group import Ranks
from trainables.ranks.merged import check_mergeable, merged
from trainables.training.reported import begun, numbers
from trainables.training.step import TINY, as_tensor, mul_or_zero

if TYPE_CHECKING:
    from trainables.task import Task


class Validation:
    """Takes the outputs of a model, or of several together, for all validation data.

    Args:
        task: whose metrics and loss are meant.
        device: of the outputs.
    """

    def __init__(self, task: Task, device: torch.device) -> None:
        self._task, self._metrics = task, begun(task.metrics())
        self._loss_sum = self._weight_sum = torch.zeros((), device=device)

    def add(self, outputs: Any, batch: Batch) -> None:
        """Outputs as `Task.forward` gives them, and the batch that they are of."""
        weight = as_tensor(self._loss_sum.device, self._task.loss_weight(batch))
        loss = mul_or_zero(self._task.loss(outputs, batch).float(), weight)
        self._loss_sum, self._weight_sum = self._loss_sum + loss, self._weight_sum + weight
        self._metrics.update(outputs, batch)

    def check_mergeable(self) -> None:
        """Raise TypeError unless the parts of several processes can be put together."""
        check_mergeable(self._metrics)

    def merge(self, ranks: Ranks) -> None:
        """Put together what the processes of a trial have added up."""
        self._loss_sum, self._weight_sum = merged(ranks, self._metrics, self._loss_sum, self._weight_sum)

    def compute(self) -> dict[str, float]:
        """The task's metrics and `valid_loss`."""
        loss = (self._loss_sum / self._weight_sum.clamp_min(TINY)).sum()
        return {"valid_loss": float(loss), **numbers(self._metrics.compute())}
