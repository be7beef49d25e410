"""The loss of single training samples as the task computes it, with the current weights of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from trainables.data.source import BatchSource, to_device
from trainables.trainer import Trainer


def sample_losses(
    trainer: Trainer, source: BatchSource, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and weight of each of these samples, in batches of one, evaluated and not augmented.

    Returns:
        Two float64 arrays [len(indices), num_terms]: what `Task.loss` and `Task.loss_weight` give. The loss
        of a batch of any of them is the weighted mean of each term, summed over the terms.
    """
    task, model = trainer.task, trainer.evaluated_model
    losses, weights = [], []
    model.eval()
    with _one_thread(), torch.inference_mode(), trainer.precision.autocast():
        for index in indices:
            batch = to_device(source.batch(np.array([index]), None), trainer.device, trainer.channels_last)
            losses.append(task.loss(task.forward(model, batch), batch).reshape(-1))
            weights.append(torch.as_tensor(task.loss_weight(batch)).reshape(-1))
    return _host(losses), _host(weights)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Batches of one are too small to share out: threads would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _host(rows: list[torch.Tensor]) -> np.ndarray:
    return torch.stack(rows).double().cpu().numpy()
