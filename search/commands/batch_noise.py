"""How much the loss of a mini-batch varies, by its size, for one fixed set of parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_ORDERS = 200
"""Orders of the samples that are cut into batches: a few large batches alone say little about a spread."""


@dataclass(frozen=True, kw_only=True)
class BatchNoise:
    """Mean and standard deviation of the loss of one batch, over all batches of a size."""

    trial: int
    virtual_epoch: int
    num_samples: int
    batch_sizes: tuple[int, ...]
    """1, 2, 4, … and all samples."""
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    calm_from: int
    """The smallest batch size whose standard deviation is below the mean."""


def batch_noise(losses: np.ndarray, weights: np.ndarray, *, trial: int, virtual_epoch: int) -> BatchNoise:
    """Cut the samples into batches of 1, 2, 4, …, all of them, in `NUM_ORDERS` orders.

    What does not fill a batch at the end of an order is left out.

    Args:
        losses, weights: of single samples, [num_samples, num_terms].
    """
    num_samples = len(losses)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(num_samples) for _ in range(NUM_ORDERS)]

    def of(batch_size: int) -> tuple[float, float]:
        found = np.concatenate([batch_losses(losses, weights, order, batch_size) for order in orders])
        return float(found.mean()), float(found.std())

    sizes = [2**power for power in range((num_samples - 1).bit_length())] + [num_samples]
    moments = [of(size) for size in sizes]
    first = next(i for i, (mean, deviation) in enumerate(moments) if deviation < mean or i == len(sizes) - 1)
    calm, noisy = sizes[first], sizes[first - 1] if first else 0
    while calm - noisy > 1:
        middle = (calm + noisy) // 2
        mean, deviation = of(middle)
        calm, noisy = (middle, noisy) if deviation < mean else (calm, middle)
    return BatchNoise(
        trial=trial,
        virtual_epoch=virtual_epoch,
        num_samples=num_samples,
        batch_sizes=tuple(sizes),
        means=tuple(mean for mean, _ in moments),
        deviations=tuple(deviation for _, deviation in moments),
        calm_from=calm,
    )


def batch_losses(losses: np.ndarray, weights: np.ndarray, order: np.ndarray, batch_size: int) -> np.ndarray:
    """The loss of each whole batch of samples in this order: weighted means, summed over the terms."""
    count = len(order) // batch_size
    chosen = order[: count * batch_size].reshape(count, batch_size)
    # A sample that nothing counts of may have any loss, NaN too.
    weighted = np.where(weights > 0, losses * weights, 0.0)[chosen].sum(axis=1)
    totals = weights[chosen].sum(axis=1)
    return np.divide(weighted, totals, out=np.zeros_like(weighted), where=totals > 0).sum(axis=1)
