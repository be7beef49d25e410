"""Batches of images or rows with their classes, augmented and mixed as a pure function of random numbers."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from trainables.classification.options import AugmentOptions
from trainables.data.stream import Order

FLIP, DOWN, RIGHT, PARTNER, SHARE, PARTNER_FLIP, PARTNER_DOWN, PARTNER_RIGHT = range(8)
"""Columns of the random numbers; fixed, so that switching one augmentation on leaves the others alike."""


class Rows(Protocol):
    """An array, or what reads rows of one when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray: ...


class ClassificationSource:
    """A BatchSource: (inputs float32, labels int64 [B]), images [B, C, H, W] or rows [B, F].

    With mixup and random numbers a batch is (mixed inputs, labels, labels of the partners, share float32 [B]
    of the first). The partner of a sample is drawn from all samples here, so the mixture does not depend on
    what else is in the batch.

    Args:
        inputs: images uint8 [N, H, W, C], or rows float32 [N, F].
        labels: int64 [N].
        mean, std: float32 [C] of images, 1 being the value 255.
        augment: of images.
        order: of the training samples, where it is not any order; see `trainables.data.stream`.
        mixup: alpha of the Beta distribution of the share (arXiv:1710.09412); 0 mixes none.
    """

    def __init__(
        self,
        inputs: Rows,
        labels: Rows,
        *,
        mean: np.ndarray | None = None,
        std: np.ndarray | None = None,
        augment: AugmentOptions | None = None,
        mixup: float = 0.0,
        order: Order | None = None,
    ) -> None:
        self.order = order
        self._inputs, self._labels = inputs, labels
        self._mean, self._std = mean, std
        self._augment = augment or AugmentOptions()
        self._mixup = mixup
        self.num_randoms = PARTNER_RIGHT + 1 if mixup or self._augment != AugmentOptions() else 0

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[Tensor, ...]:
        labels = torch.from_numpy(self._labels[indices])
        if randoms is None or not self.num_randoms:
            return _tensor(self._read(indices)), labels
        inputs = self._changed(indices, randoms[:, [FLIP, DOWN, RIGHT]])
        if not self._mixup:
            return _tensor(inputs), labels
        partners = (randoms[:, PARTNER] * len(self)).astype(np.int64)
        others = self._changed(partners, randoms[:, [PARTNER_FLIP, PARTNER_DOWN, PARTNER_RIGHT]])
        share = shares(randoms[:, SHARE], self._mixup)
        of_first = share.reshape(-1, *[1] * (inputs.ndim - 1))
        mixed = of_first * inputs + (1.0 - of_first) * others
        return _tensor(mixed), labels, torch.from_numpy(self._labels[partners]), torch.from_numpy(share)

    def _read(self, indices: np.ndarray) -> np.ndarray:
        """Normalized: float32 [B, H, W, C] or [B, F]."""
        chosen = self._inputs[indices]
        if self._mean is None or self._std is None:
            return chosen
        factor = 1.0 / self._std
        return chosen * (factor / 255.0).astype(np.float32) - (self._mean * factor).astype(np.float32)

    def _changed(self, indices: np.ndarray, randoms: np.ndarray) -> np.ndarray:
        """Read and augmented by random numbers [B, 3]."""
        inputs = self._read(indices)
        if self._mean is None:
            return inputs
        across = randoms[:, 0] < self._augment.horizontal_flip
        if across.any():
            inputs[across] = inputs[across, :, ::-1]
        return shift(inputs, randoms[:, 1:], self._augment.shift) if self._augment.shift else inputs


def shift(images: np.ndarray, randoms: np.ndarray, largest: int) -> np.ndarray:
    """Move each of normalized images [B, H, W, C] down and right by -largest to largest pixels.

    What comes in is 0, the mean colour.

    Args:
        randoms: float64 [B, 2].
    """
    number, height, width = images.shape[:3]
    padded = np.pad(images, ((0, 0), (largest, largest), (largest, largest), (0, 0)))
    offsets = (randoms * (2 * largest + 1)).astype(np.int64)
    rows = offsets[:, :1] + np.arange(height)
    columns = offsets[:, 1:] + np.arange(width)
    return padded[np.arange(number)[:, None, None], rows[:, :, None], columns[:, None, :]]


def shares(uniforms: np.ndarray, alpha: float) -> np.ndarray:
    """Beta(alpha, alpha) numbers of uniform ones, by the inverse of the distribution function: float32."""
    return betaincinv(alpha, alpha, uniforms).astype(np.float32)


def _tensor(inputs: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(inputs)
    return tensor.permute(0, 3, 1, 2) if inputs.ndim == 4 else tensor
