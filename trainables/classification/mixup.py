"""Batches of images or rows with their classes, augmented and mixed as a pure function of random numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor

from trainables.classification.options import AugmentOptions
from trainables.images.augmentation.flips_and_light import normalize
from trainables.images.augmentation.transforms import Transforms
from trainables.images.samples import Samples
from trainables.images.source import ImageSource

FLIP, DOWN, RIGHT, PARTNER, LAMBDA, PARTNER_FLIP, PARTNER_DOWN, PARTNER_RIGHT = range(8)
"""Columns of the random numbers; fixed, so that switching one augmentation on leaves the others alike."""

Read = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
"""From numbers of samples, and random numbers [B, 3] where they are augmented, to inputs float32 and classes
int64 [B]."""


class ClassificationSource(ImageSource):
    """A BatchSource: (images float32 [B, C, H, W], classes int64 [B]), mixed as `mixed_batch` says.

    Args:
        mixup: see `mixed_batch`.
    """

    def __init__(
        self,
        samples: Samples,
        mean: np.ndarray,
        std: np.ndarray,
        augment: AugmentOptions | None = None,
        mixup: float = 0.0,
    ) -> None:
        super().__init__(samples, mean, std)
        self._augment, self._mixup = augment or AugmentOptions(), mixup
        self._transforms = Transforms(self._augment.transforms)
        self.num_randoms = PARTNER_RIGHT + 1 if mixup or self._augment != AugmentOptions() else 0

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[Tensor, ...]:
        images, *rest = mixed_batch(
            self._read, indices, randoms if self.num_randoms else None, len(self), self._mixup
        )
        return images.permute(0, 3, 1, 2), *rest

    def _read(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        images, labels = self._whole(indices)
        if randoms is not None and self._transforms:
            images = self._transforms.images(images, randoms)
        images = normalize(images, self._mean, self._std)
        if randoms is None:
            return images, labels
        across = randoms[:, 0] < self._augment.horizontal_flip
        images[across] = images[across, :, ::-1]
        return shift(images, randoms[:, 1:], self._augment.shift) if self._augment.shift else images, labels


class RowSource:
    """A BatchSource: (rows float32 [B, F], classes int64 [B]), mixed as `mixed_batch` says."""

    def __init__(self, rows: np.ndarray, labels: np.ndarray, mixup: float = 0.0) -> None:
        self._rows, self._labels, self._mixup = rows, labels, mixup
        self.num_randoms = PARTNER_RIGHT + 1 if mixup else 0

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[Tensor, ...]:
        randoms = randoms if self.num_randoms else None
        return mixed_batch(self._read, indices, randoms, len(self), self._mixup)

    def _read(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        return self._rows[indices], self._labels[indices]


def mixed_batch(
    read: Read, indices: np.ndarray, randoms: np.ndarray | None, length: int, mixup: float
) -> tuple[Tensor, ...]:
    """(inputs, classes), or with mixup (mixed inputs, classes, classes of the partners, lambda float32 [B]).

    Lambda is the share of the first. The partner of a sample is drawn from all `length` samples, so the
    mixture does not depend on what else is in the batch.

    Args:
        randoms: float64 [B, PARTNER_RIGHT + 1]; None changes nothing.
        mixup: alpha of the Beta distribution of lambda (arXiv:1710.09412); 0 mixes none.
    """
    inputs, labels = read(indices, None if randoms is None else randoms[:, [FLIP, DOWN, RIGHT]])
    if randoms is None or not mixup:
        return torch.from_numpy(inputs), torch.from_numpy(labels)
    partners = (randoms[:, PARTNER] * length).astype(np.int64)
    others, of_partners = read(partners, randoms[:, [PARTNER_FLIP, PARTNER_DOWN, PARTNER_RIGHT]])
    share = beta_numbers(randoms[:, LAMBDA], mixup)
    of_first = share.reshape(-1, *[1] * (inputs.ndim - 1))
    mixed = of_first * inputs + (1.0 - of_first) * others
    return tuple(map(torch.from_numpy, (mixed, labels, of_partners, share)))


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


def beta_numbers(uniforms: np.ndarray, alpha: float) -> np.ndarray:
    """Beta(alpha, alpha) numbers of uniform ones, by the inverse of the distribution function: float32."""
    return betaincinv(alpha, alpha, uniforms).astype(np.float32)
