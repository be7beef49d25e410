"""Classes that may overlap, in one number a pixel: what moves a mask moves all of its classes alike.

Class k is bit k of the number, from class 7 on bit k + 1: bit 7 is set in `IGNORE` alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.images.augmentation.flips_and_light import IGNORE

_FREE = 7
"""Number of the bit that no class has."""


def bit_of(number: int) -> int:
    """The bit of a class."""
    return number if number < _FREE else number + 1


def packed_type(num_classes: int) -> type[np.uint8] | type[np.int32]:
    return np.uint8 if num_classes <= _FREE else np.int32


def packed(planes: Sequence[np.ndarray], ignored: np.ndarray | None = None) -> np.ndarray:
    """One number a pixel: uint8 or int32 [H, W], of bool [H, W] for each class."""
    together = np.zeros(planes[0].shape, packed_type(len(planes)))
    for number, plane in enumerate(planes):
        together[plane] |= together.dtype.type(1 << bit_of(number))
    if ignored is not None:
        together[ignored] = IGNORE
    return together


def counts_of_classes(mask: np.ndarray, num_classes: int) -> dict[int, int]:
    """Pixels of each class that occurs, and of `IGNORE`."""
    ignored = mask == IGNORE
    known = np.where(ignored, 0, mask)
    counts = {number: int((known >> bit_of(number) & 1).sum()) for number in range(num_classes)}
    return {number: count for number, count in {**counts, IGNORE: int(ignored.sum())}.items() if count}


def holds(mask: np.ndarray, number: int) -> np.ndarray:
    """Which pixels have a class: bool [H, W]."""
    return (mask >> bit_of(number) & 1).astype(bool) & (mask != IGNORE)


def unpacked(masks: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Which classes pixels have, bool [N, K, H, W], and which pixels count, bool [N, 1, H, W].

    Args:
        masks: int64 [N, H, W].
    """
    known = (masks != IGNORE).unsqueeze(1)
    bits = torch.tensor([bit_of(number) for number in range(num_classes)], device=masks.device)
    planes = (masks.unsqueeze(1) >> bits.view(1, -1, 1, 1) & 1).bool()
    return planes & known, known


def packed_tensor(planes: Tensor) -> Tensor:
    """int64 [N, H, W], of bool [N, K, H, W]."""
    bits = torch.tensor([1 << bit_of(number) for number in range(planes.shape[1])], device=planes.device)
    return (planes * bits.view(1, -1, 1, 1)).sum(dim=1)
