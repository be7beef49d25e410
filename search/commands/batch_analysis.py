"""What batches of a size gain and cost: curves of the loss, where they reach a target, its spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_ORDERS = 200
"""Orders of the samples that are cut into batches: a few large batches alone say little about a spread."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The training loss of the best trial of one batch size; a value per virtual epoch."""

    batch_size: int
    """Samples of one optimizer step."""
    trial: int
    epochs: tuple[float, ...]
    """Over the data, at the end of each virtual epoch."""
    steps: tuple[int, ...]
    losses: tuple[float, ...]

    def reached(self, target: float) -> Reached | None:
        """Where the loss is at or below the target for the first time; None where it never is."""
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
    """Mean and standard deviation of the loss of one batch, over all batches of a size.

    The parameters are those of one checkpoint, so that only the choice of the samples varies.
    """

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

    What does not fill a batch at the end of an order is left out.

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
    """The loss of each whole batch of samples in this order: weighted means, summed over the terms."""
    count = len(order) // batch_size
    chosen = order[: count * batch_size].reshape(count, batch_size)
    # A sample that nothing counts of may have any loss, NaN too.
    weighted = np.where(weights > 0, losses * weights, 0.0)[chosen].sum(axis=1)
    totals = weights[chosen].sum(axis=1)
    return np.divide(weighted, totals, out=np.zeros_like(weighted), where=totals > 0).sum(axis=1)
