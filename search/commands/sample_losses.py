"""The loss of single training samples by the task's own rule, with the weights that a model has now."""

from __future__ import annotations

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
    with torch.inference_mode(), trainer.precision.autocast():
        for index in indices:
            batch = to_device(source.batch(np.array([index]), None), trainer.device, trainer.channels_last)
            losses.append(task.loss(task.forward(model, batch), batch).reshape(-1))
            weights.append(torch.as_tensor(task.loss_weight(batch)).reshape(-1))
    return _host(losses), _host(weights)


def _host(rows: list[torch.Tensor]) -> np.ndarray:
    return torch.stack(rows).double().cpu().numpy()
