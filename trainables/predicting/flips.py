"""Predictions averaged over flips of the images: test-time augmentation, as in nnU-Net and MMSegmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS, COLUMNS = -2, -1
_CLASSES = -3
"""Dimensions of logits [..., K, H, W]."""

FLIPS: Mapping[str, Sequence[tuple[int, ...]]] = {
    "none": [],
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
        flips: a name in `FLIPS`.
    """
    mirrored = (predict(images.flip(dims)).flip(dims) for dims in FLIPS[flips])
    return mean_logits(predict(images), mirrored, overlapping=overlapping)


def mean_logits(first: Tensor, others: Iterable[Tensor], *, overlapping: bool = False) -> Tensor:
    """Logits [..., K, H, W] of the mean probability of these and other logits; `first` if there are none."""
    return _mean_sigmoid(first, others) if overlapping else _mean_softmax(first, others)


def _mean_softmax(first: Tensor, others: Iterable[Tensor]) -> Tensor:
    total, number = first, 1
    for logits in others:
        if number == 1:
            total = first.float().log_softmax(dim=_CLASSES)
        total = torch.logaddexp(total, logits.float().log_softmax(dim=_CLASSES))
        number += 1
    return total if number == 1 else total - math.log(number)


def _mean_sigmoid(first: Tensor, others: Iterable[Tensor]) -> Tensor:
    """The sum of the probabilities of yes over that of no, as logits."""
    sums: tuple[Tensor, Tensor] | None = None
    for logits in others:
        yes, no = sums or (F.logsigmoid(first.float()), F.logsigmoid(-first.float()))
        logits = logits.float()
        sums = torch.logaddexp(yes, F.logsigmoid(logits)), torch.logaddexp(no, F.logsigmoid(-logits))
    return first if sums is None else sums[0] - sums[1]
