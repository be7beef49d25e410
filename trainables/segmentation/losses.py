"""Cross-entropy, Dice, focal loss and their mixtures, exact under accumulation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.images.classes import ClassWeights
from trainables.supervised.calls import ImportedLoss

TERMS = ("cross_entropy", "dice", "focal")
DICE_SMOOTH = 1.0
"""Pixels added to both sides of the Dice ratio; a class neither present nor predicted costs nothing."""


class MixedLoss:
    """`coefficient * mean` of each term whose coefficient is above zero: of `TERMS`, then imported ones.

    The means of cross-entropy and focal are over valid pixels, weighted by class where weights are given;
    those of Dice and of imported terms are over images with a valid pixel. `weights` gives those
    denominators, so that means averaged with them over micro-batches are exactly the means of the large
    batch. Without any valid pixel the means are 0.

    Args:
        coefficients: Of each term by name.
        imported: Terms that are called, by name.
        class_weights: One per class, for cross-entropy and focal.
        label_smoothing: Of the cross-entropy.
        focal_gamma: Focusing exponent.
        ignore_index: Label of pixels that do not count.
    """

    def __init__(
        self,
        coefficients: Mapping[str, float],
        *,
        imported: Mapping[str, ImportedLoss] | None = None,
        class_weights: np.ndarray | None = None,
        label_smoothing: float = 0.0,
        focal_gamma: float = 2.0,
        ignore_index: int = 255,
    ) -> None:
        self._imported = imported or {}
        known = (*TERMS, *self._imported)
        self.terms = tuple(name for name in known if coefficients.get(name, 0.0) > 0)
        self._coefficients = [float(coefficients[name]) for name in self.terms]
        self._weights = ClassWeights(class_weights)
        self._label_smoothing, self._gamma, self._ignore = label_smoothing, focal_gamma, ignore_index

    def means(self, logits: Tensor, masks: Tensor) -> Tensor:
        """[num_terms], from logits [N, K, H, W] and masks int64 [N, H, W]."""
        logits = logits.float()
        sums = [self._sum(name, logits, masks) for name in self.terms]
        scales = (
            torch.tensor(self._coefficients, device=logits.device) if len(sums) > 1 else self._coefficients[0]
        )
        return torch.stack(sums) / self.weights(masks).clamp(min=1e-12) * scales

    def weights(self, masks: Tensor) -> Tensor:
        """[num_terms]: (class-weighted) valid pixels; for Dice and imported terms the images with one."""
        valid = masks != self._ignore
        of_pixels = {"cross_entropy", "focal"}
        counts: dict[str, Tensor] = {}
        if not of_pixels.issuperset(self.terms):
            counts = dict.fromkeys(self.terms, valid.flatten(1).any(dim=1).sum().float())
        if of_pixels.intersection(self.terms):
            weighted = self._weights.on(masks.device) is not None
            pixels = self._weights.of(masks, valid).sum() if weighted else valid.sum().float()
            counts["cross_entropy"] = counts["focal"] = pixels
        return torch.stack([counts[name] for name in self.terms])

    def _sum(self, name: str, logits: Tensor, masks: Tensor) -> Tensor:
        if name not in self._imported:
            return getattr(self, f"_{name}")(logits, masks)
        return self._imported[name].mean(logits, masks) * (masks != self._ignore).flatten(1).any(dim=1).sum()

    def _cross_entropy(self, logits: Tensor, masks: Tensor) -> Tensor:
        losses = F.cross_entropy(
            logits,
            masks,
            weight=self._weights.on(logits.device),
            ignore_index=self._ignore,
            # On a GPU the sum over pixels comes out in another order each time.
            reduction="sum" if logits.is_cpu else "none",
            label_smoothing=self._label_smoothing,
        )
        return losses if logits.is_cpu else losses.sum()

    def _focal(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Focal loss (Lin et al. 2017, arXiv:1708.02002) over the softmax, summed."""
        surprise = F.cross_entropy(logits, masks, ignore_index=self._ignore, reduction="none")
        missing = -torch.expm1(-surprise)
        losses = missing.clamp(min=1e-8) ** self._gamma * surprise
        return (losses * self._weights.of(masks, masks != self._ignore)).sum()

    def _dice(self, logits: Tensor, masks: Tensor) -> Tensor:
        """One minus the soft Dice ratio (Milletari et al. 2016, arXiv:1606.04797) over classes, summed."""
        valid = (masks != self._ignore).unsqueeze(1)
        probabilities = logits.softmax(dim=1) * valid
        labels = masks.unsqueeze(1).where(valid, 0)
        truth = torch.zeros_like(probabilities).scatter_(1, labels, valid.to(probabilities.dtype))
        shared = (probabilities * truth).sum(dim=(2, 3))
        total = (probabilities + truth).sum(dim=(2, 3))
        return (1.0 - (2.0 * shared + DICE_SMOOTH) / (total + DICE_SMOOTH)).mean(dim=1).sum()


def median_frequency_weights(class_pixels: np.ndarray) -> np.ndarray:
    """Median frequency over a class's frequency (Eigen & Fergus 2015, arXiv:1411.4734): float64 [K].

    Classes without a pixel in the training data have weight 1: there is nothing to balance.
    """
    present = class_pixels > 0
    weights = np.ones(len(class_pixels))
    weights[present] = np.median(class_pixels[present]) / class_pixels[present]
    return weights
