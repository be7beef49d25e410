"""Metrics and losses of a validation whose batches were dealt out to the ranks, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from trainables.ranks.group import Ranks

Total = Callable[[Tensor | None], Tensor | None]
"""The sum of a tensor over all ranks; where a rank has seen no batch it gives None, and gets the sum too."""


def check_mergeable(metrics: Any, of: str = "") -> None:
    """Raise unless metrics can be put together.

    Args:
        of: what they are, for the message; else what metrics() of the task returned.

    Raises:
        TypeError: they have no `merge`.
    """
    if hasattr(metrics, "check_mergeable"):
        metrics.check_mergeable()
        return
    if not callable(getattr(metrics, "merge", None)):
        raise TypeError(
            f"each process of the trial validates a part of the data, and {of or 'what metrics() returned'} "
            f"({type(metrics).__name__}) cannot put the parts together: give it a method merge(total), which "
            "replaces each tensor that adds up, as in self.hits = total(self.hits); or set "
            "resources.workers_per_trial to 1"
        )


def merged(ranks: Ranks, metrics: Any, loss_sum: Tensor, weight_sum: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of losses and weights over all ranks, after merging the metrics in place.

    A rank that has seen no batch has scalars of 0, whatever the number of terms of the loss.
    """
    seen = loss_sum.dim() or bool(weight_sum != 0)
    sums = [ranks.total(each.clone() if seen else None) for each in (loss_sum, weight_sum)]
    metrics.merge(lambda tensor: ranks.total(None if tensor is None else tensor.clone()))
    loss, weight = (loss_sum if each is None else each for each in sums)
    return loss, weight
