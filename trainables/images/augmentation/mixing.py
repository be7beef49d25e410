"""Mosaic and cutmix of images with their masks: parts of some samples in the place of those of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainables.images.augmentation.flips_and_light import Draw, chosen
from trainables.images.augmentation.options import JointAugmentOptions

Box = tuple[float, float, float, float]
"""Top, left, bottom and right, in shares of the height and the width."""


@dataclass(frozen=True)
class Pastes:
    """Parts of other samples, and where they go."""

    indices: np.ndarray
    """Numbers of the other samples: int64 [P]."""
    randoms: np.ndarray
    """By which they are augmented: float64 [P, R]."""
    boxes: Sequence[tuple[int, Box]]
    """For each in turn the place in the batch where it goes, and which part of it."""

    def __len__(self) -> int:
        return len(self.indices)

    def onto(self, images: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The batch with what belongs into it, of images [B + P, H, W, C] and masks [B + P, H, W]."""
        size, (height, width) = len(images) - len(self), masks.shape[1:]
        for number, (place, (top, left, bottom, right)) in enumerate(self.boxes):
            rows = slice(round(top * height), round(bottom * height))
            columns = slice(round(left * width), round(right * width))
            images[place, rows, columns] = images[size + number, rows, columns]
            masks[place, rows, columns] = masks[size + number, rows, columns]
        return images[:size], masks[:size]


def drawn_pastes(randoms: np.ndarray, augment: JointAugmentOptions, length: int) -> Pastes:
    """What is pasted into a batch: a function of each sample's random numbers alone.

    The others are drawn from all `length` samples of the data, so that it does not matter which are in the
    batch; they are augmented as by themselves, and nothing is pasted into them.

    Args:
        randoms: float64 [B, R].
    """
    indices, rows, boxes = list[int](), list[np.ndarray](), list[tuple[int, Box]]()
    for place, row in enumerate(randoms):
        for rng, box in _boxes(row, augment):
            indices.append(int(rng.integers(length)))
            rows.append(rng.random((randoms.shape[1],)))
            boxes.append((place, box))
    others = np.array(rows).reshape(len(rows), randoms.shape[1])
    return Pastes(np.array(indices, np.int64), others, boxes)


def _boxes(randoms: np.ndarray, augment: JointAugmentOptions) -> list[tuple[np.random.Generator, Box]]:
    drawn: list[tuple[np.random.Generator, Box]] = []
    if rng := chosen(randoms, Draw.MOSAIC, augment.mosaic):
        y, x = rng.uniform(0.25, 0.75, 2).tolist()
        drawn += [(rng, (0.0, x, y, 1.0)), (rng, (y, 0.0, 1.0, x)), (rng, (y, x, 1.0, 1.0))]
    if augment.cutmix is not None and (rng := chosen(randoms, Draw.CUTMIX, augment.cutmix)):
        half = math.sqrt(1.0 - rng.beta(augment.cutmix.alpha, augment.cutmix.alpha)) / 2.0
        y, x = rng.random(2).tolist()
        box = max(0.0, y - half), max(0.0, x - half), min(1.0, y + half), min(1.0, x + half)
        drawn.append((rng, box))
    return drawn
