"""Logits of whole images from overlapping windows, as in nnU-Net (Isensee et al. 2021, Nature Methods 18)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

SIGMA = 0.125
"""Standard deviation of the weights, in sides of the window."""

LEAST_WEIGHT = 1e-3
"""Of the largest. At the corner of a window the Gaussian is 1e-7, which would drown in rounding."""


def window_logits(
    predict: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    window: int,
    overlap: float,
    batch_size: int,
) -> Tensor:
    """Logits float32 [N, K, H, W] of images [N, C, H, W]: means over windows, weighted by a Gaussian.

    An image that one window covers is predicted whole, so the result is exactly that of `predict`. Windows
    lie at most `(1 - overlap) * window` apart and evenly, the first and last ones at the edges; along a side
    shorter than `window` they are as long as that side.

    Args:
        predict: images [n, C, h, w] to logits [n, K, h, w].
        window: side in pixels.
        overlap: share of a window that the next one covers too, at least: 0 <= overlap < 1.
        batch_size: windows predicted at once; in addition, only images and logits take memory.
    """
    height, width = images.shape[-2:]
    if height <= window and width <= window:
        return predict(images)
    tall, wide = min(window, height), min(window, width)
    weight = _gaussian(tall, wide).to(images.device)
    tops, lefts = _starts(height, window, overlap), _starts(width, window, overlap)
    places = list(itertools.product(range(len(images)), tops, lefts))
    total = torch.zeros((), device=images.device)
    weights = torch.zeros((len(images), 1, height, width), device=images.device)
    for first in range(0, len(places), batch_size):
        chosen = places[first : first + batch_size]
        crops = [images[n, :, y : y + tall, x : x + wide] for n, y, x in chosen]
        logits = predict(torch.stack(crops)).float() * weight
        if not total.dim():
            total = logits.new_zeros((len(images), logits.shape[1], height, width))
        for (n, y, x), of_window in zip(chosen, logits, strict=True):
            total[n, :, y : y + tall, x : x + wide] += of_window
            weights[n, :, y : y + tall, x : x + wide] += weight
    return total / weights


def _starts(length: int, window: int, overlap: float) -> list[int]:
    """First pixels of the windows along a side of `length` pixels."""
    room = length - window
    if room <= 0:
        return [0]
    step = max(1.0, window * (1.0 - overlap))
    number = math.ceil(room / step)
    return [round(room * place / number) for place in range(number + 1)]


@lru_cache(maxsize=16)
def _gaussian(height: int, width: int) -> Tensor:
    """Weights float32 [height, width], 1 in the middle."""
    sides = []
    for side in (height, width):
        offset = torch.arange(side, dtype=torch.float64) - (side - 1) / 2.0
        sides.append(torch.exp(-0.5 * (offset / (SIGMA * side)) ** 2))
    together = torch.outer(*sides)
    return (together / together.max()).clamp_min(LEAST_WEIGHT).float()
