"""What looks wrong about a task of the user's own, though nothing about it fails."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from search.text import counted
from trainables.data.batches import to_device
from trainables.data.same_contents import digest
from trainables.data.source import as_source
from trainables.findings import some
from trainables.networks.own import begin_with
from trainables.training.trainer import Trainer

_NUM_COMPARED = 8
"""Samples."""


@contextmanager
def gradients_seen(model: nn.Module) -> Iterator[set[str]]:
    """Names of the parameters that get a gradient meanwhile."""
    seen: set[str] = set()
    trained = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    hooks = [each.register_post_accumulate_grad_hook(partial(_see, seen, name)) for name, each in trained]
    yield seen
    for hook in hooks:
        hook.remove()


def _see(seen: set[str], name: str, parameter: Tensor) -> None:
    seen.add(name)


def doubts(trainer: Trainer, seen: Collection[str]) -> Iterator[str]:
    """A line for each.

    Args:
        seen: parameters that got a gradient in the steps that were taken.

    Raises:
        ValueError: the next trial in a process would begin with the weights of this one.
    """
    begin_with(trainer.task.build_model())
    names = [name for name, each in trainer.model.named_parameters() if each.requires_grad]
    if lacking := [name for name in names if name not in seen]:
        yield (
            f"no gradient reaches {len(lacking)} of {counted(len(names), 'parameter')} ({some(lacking)}): "
            "the loss does not depend on them, so they are not trained"
        )
    yield from _same_samples(trainer)
    yield from _sum_for_mean(trainer)


def _same_samples(trainer: Trainer) -> Iterator[str]:
    valid, data = trainer.valid_source, trainer.task.train_data()
    count = min(_NUM_COMPARED, len(valid))
    try:
        train = as_source(data)
    except TypeError:  # it has no samples by number
        return
    numbers = np.arange(count)
    if len(train) >= count and digest(train.batch(numbers, None)) == digest(valid.batch(numbers, None)):
        same = "the same" if len(train) == len(valid) else f"alike in their first {count} samples"
        yield (
            f"train_data() and valid_data() are {same}: metrics of samples that were trained on say nothing "
            "about others"
        )


def _sum_for_mean(trainer: Trainer) -> Iterator[str]:
    """Whether the loss of a batch is that of its halves added up, and not their mean."""
    half = min(_NUM_COMPARED, len(trainer.valid_source)) // 2
    if half == 0:
        return
    parts = (np.arange(half), np.arange(half, 2 * half), np.arange(2 * half))
    first, second, both = (_loss(trainer, numbers) for numbers in parts)
    if both and abs(both - first - second) <= 1e-3 * abs(both):
        yield (
            "loss() grows with the number of samples, as a sum does: return the mean over the batch, such as "
            "reduction='mean'; else batch_size and accumulate change the length of a step"
        )


def _loss(trainer: Trainer, numbers: np.ndarray) -> float:
    task, model = trainer.task, trainer.evaluated_model
    model.eval()
    with torch.inference_mode(), trainer.precision.autocast():
        batch = to_device(trainer.valid_source.batch(numbers, None), trainer.device)
        return float(task.loss(task.forward(model, batch), batch).float().sum())
