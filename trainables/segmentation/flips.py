"""Predictions averaged over flips of the images: test-time augmentation, as in nnU-Net and MMSegmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS, COLUMNS = -2, -1

FLIPS: Mapping[str, Sequence[tuple[int, ...]]] = {
    "horizontal": [(COLUMNS,)],
    "vertical": [(ROWS,)],
    "both": [(COLUMNS,), (ROWS,), (ROWS, COLUMNS)],
}
"""Which dimensions are reversed, for each prediction besides that of the image as it is."""


def flipped_logits(
    predict: Callable[[Tensor], Tensor], images: Tensor, flips: str, *, overlapping: bool = False
) -> Tensor:
    """The logarithm of the mean softmax over flips of the images: float32 [N, K, H, W].

    That is a set of logits of the mean: its softmax is the mean. Without flips it is what `predict` returns.
    Of classes that overlap it is the logit of the mean sigmoid.

    Args:
        predict: images [N, C, H, W] to logits [N, K, H, W].
        flips: none, or a name in `FLIPS`.
    """
    if flips == "none":
        return predict(images)
    if overlapping:
        return _flipped_sigmoids(predict, images, FLIPS[flips])
    total = predict(images).float().log_softmax(dim=1)
    for reversed_dims in FLIPS[flips]:
        logits = predict(images.flip(reversed_dims)).flip(reversed_dims)
        total = torch.logaddexp(total, logits.float().log_softmax(dim=1))
    return total - math.log(1 + len(FLIPS[flips]))


def _flipped_sigmoids(
    predict: Callable[[Tensor], Tensor], images: Tensor, flips: Sequence[tuple[int, ...]]
) -> Tensor:
    """The sum of the probabilities of yes over that of no, as logits."""
    logits = predict(images).float()
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    for reversed_dims in flips:
        logits = predict(images.flip(reversed_dims)).flip(reversed_dims).float()
        yes, no = torch.logaddexp(yes, F.logsigmoid(logits)), torch.logaddexp(no, F.logsigmoid(-logits))
    return yes - no
