"""Loss curves of batch sizes, where they reach a target, and the spread of the loss of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from trainables.data.source import BatchSource, to_device
from trainables.training.trainer import Trainer

NUM_ORDERS = 200
"""Number of random orders in which samples are cut into batches: one order has few large batches."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The training loss of the best trial of one batch size, after each virtual epoch."""

    batch_size: int
    """Samples of one optimizer step."""
    trial: int
    epochs: tuple[float, ...]
    steps: tuple[int, ...]
    losses: tuple[float, ...]

    def reached(self, target: float) -> Reached | None:
        """Where the loss first is at or below the target; None if it never is."""
        for index, loss in enumerate(self.losses):
            if loss <= target:
                return Reached(virtual_epoch=index + 1, epochs=self.epochs[index], steps=self.steps[index])
        return None


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The end of the first virtual epoch with a loss at or below a target."""

    virtual_epoch: int
    epochs: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class BatchNoise:
    """Mean and standard deviation of the loss of a batch by its size, at the weights of one checkpoint."""

    trial: int
    virtual_epoch: int
    num_samples: int
    batch_sizes: tuple[int, ...]
    """1, 2, 4, … and all samples."""
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    smallest_batch_cv_below_1: int
    """The smallest batch size with a coefficient of variation (standard deviation over mean) below 1."""


def batch_noise(losses: np.ndarray, weights: np.ndarray, *, trial: int, virtual_epoch: int) -> BatchNoise:
    """Cut the samples into batches of 1, 2, 4, …, all of them, in `NUM_ORDERS` orders.

    An incomplete batch at the end of an order is left out.

    Args:
        losses, weights: of single samples, [num_samples, num_terms].
    """
    num_samples = len(losses)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(num_samples) for _ in range(NUM_ORDERS)]

    def moments_of(batch_size: int) -> tuple[float, float]:
        found = np.concatenate([batch_losses(losses, weights, order, batch_size) for order in orders])
        return float(found.mean()), float(found.std())

    sizes = [2**power for power in range((num_samples - 1).bit_length())] + [num_samples]
    moments = [moments_of(size) for size in sizes]
    first = next((i for i, (mean, deviation) in enumerate(moments) if deviation < mean), len(sizes) - 1)
    steady, noisy = sizes[first], sizes[first - 1] if first else 0
    while steady - noisy > 1:
        middle = (steady + noisy) // 2
        mean, deviation = moments_of(middle)
        steady, noisy = (middle, noisy) if deviation < mean else (steady, middle)
    return BatchNoise(
        trial=trial,
        virtual_epoch=virtual_epoch,
        num_samples=num_samples,
        batch_sizes=tuple(sizes),
        means=tuple(mean for mean, _ in moments),
        deviations=tuple(deviation for _, deviation in moments),
        smallest_batch_cv_below_1=steady,
    )


def batch_losses(losses: np.ndarray, weights: np.ndarray, order: np.ndarray, batch_size: int) -> np.ndarray:
    """The loss of each complete batch of samples in this order: weighted means, summed over the terms."""
    count = len(order) // batch_size
    chosen = order[: count * batch_size].reshape(count, batch_size)
    # A sample without weight may have any loss, even NaN.
    weighted = np.where(weights > 0, losses * weights, 0.0)[chosen].sum(axis=1)
    totals = weights[chosen].sum(axis=1)
    return np.divide(weighted, totals, out=np.zeros_like(weighted), where=totals > 0).sum(axis=1)


def sample_losses(
    trainer: Trainer, source: BatchSource, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and weight of each of these samples, computed in batches of one without augmentation.

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
    return torch.stack(losses).double().cpu().numpy(), torch.stack(weights).double().cpu().numpy()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Batches of one are too small to be divided among threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
