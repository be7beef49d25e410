"""Predictions averaged over flips of the images: test-time augmentation, as in nnU-Net and MMSegmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

ROWS, COLUMNS = -2, -1

FLIPS: Mapping[str, Sequence[tuple[int, ...]]] = {
    "horizontal": [(COLUMNS,)],
    "vertical": [(ROWS,)],
    "both": [(COLUMNS,), (ROWS,), (ROWS, COLUMNS)],
}
"""Which dimensions are reversed, for each prediction besides that of the image as it is."""


def flipped_logits(predict: Callable[[Tensor], Tensor], images: Tensor, flips: str) -> Tensor:
    """The logarithm of the mean softmax over flips of the images: float32 [N, K, H, W].

    That is a set of logits of the mean: its softmax is the mean. Without flips it is what `predict` returns.

    Args:
        predict: images [N, C, H, W] to logits [N, K, H, W].
        flips: none, or a name in `FLIPS`.
    """
    if flips == "none":
        return predict(images)
    total = predict(images).float().log_softmax(dim=1)
    for reversed_dims in FLIPS[flips]:
        logits = predict(images.flip(reversed_dims)).flip(reversed_dims)
        total = torch.logaddexp(total, logits.float().log_softmax(dim=1))
    return total - math.log(1 + len(FLIPS[flips]))
