"""Losses of classes that may overlap: each output of the network against its own class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.masks.packed import unpacked
from trainables.segmentation.losses import DICE_SMOOTH, MixedLoss


class SigmoidLoss(MixedLoss):
    """As `MixedLoss`, with the sigmoid: cross-entropy is binary, and its mean and that of focal are over
    valid pixels and classes, weighted by class where weights are given.

    Imported terms get targets float32 [N, K, H, W] of 0 and 1, and `ignore_index` in what does not count.

    Args:
        num_classes: outputs of the network.
    """

    def __init__(self, num_classes: int, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]  # those of MixedLoss
        self._num_classes = num_classes

    def weights(self, masks: Tensor) -> Tensor:
        known = masks != IGNORE
        weights = self._weights.on(masks.device)
        of_all = self._num_classes if weights is None else weights.sum()
        of_pixels, of_images = known.sum().float() * of_all, known.flatten(1).any(dim=1).sum().float()
        pixels = {"cross_entropy", "focal"}
        return torch.stack([of_pixels if name in pixels else of_images for name in self.terms])

    def _sum(self, name: str, logits: Tensor, masks: Tensor) -> Tensor:
        if name not in self._imported:
            return getattr(self, f"_{name}")(logits, masks)
        known = (masks != IGNORE).flatten(1).any(dim=1).sum()
        return self._imported[name].mean(logits, float_targets(masks, self._num_classes)) * known

    def _cross_entropy(self, logits: Tensor, masks: Tensor) -> Tensor:
        truth, known = unpacked(masks, self._num_classes)
        smoothed = truth.float() * (1.0 - self._label_smoothing) + self._label_smoothing / 2.0
        return self._weighted(F.binary_cross_entropy_with_logits(logits, smoothed, reduction="none"), known)

    def _focal(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Focal loss (Lin et al. 2017, arXiv:1708.02002), without its alpha, summed."""
        truth, known = unpacked(masks, self._num_classes)
        surprise = F.binary_cross_entropy_with_logits(logits, truth.float(), reduction="none")
        missing = -torch.expm1(-surprise)
        return self._weighted(missing.clamp(min=1e-8) ** self._gamma * surprise, known)

    def _dice(self, logits: Tensor, masks: Tensor) -> Tensor:
        truth, known = unpacked(masks, self._num_classes)
        probabilities = logits.sigmoid() * known
        shared = (probabilities * truth).sum(dim=(2, 3))
        total = (probabilities + truth).sum(dim=(2, 3))
        return (1.0 - (2.0 * shared + DICE_SMOOTH) / (total + DICE_SMOOTH)).mean(dim=1).sum()

    def _weighted(self, losses: Tensor, known: Tensor) -> Tensor:
        weights = self._weights.on(losses.device)
        counted = losses * known
        return (counted if weights is None else counted * weights.view(1, -1, 1, 1)).sum()


def float_targets(masks: Tensor, num_classes: int) -> Tensor:
    """0 and 1, and `IGNORE` in pixels that do not count: float32 [N, K, H, W]."""
    truth, known = unpacked(masks, num_classes)
    return truth.float().masked_fill(~known, float(IGNORE))
