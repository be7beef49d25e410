"""Logits of whole images from overlapping windows, as in nnU-Net (Isensee et al. 2021, Nature Methods 18)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from trainables.predicting.flips import COLUMNS, FLIPS, ROWS, mean_logits

SIGMA = 0.125
"""Standard deviation of the weights, in sides of the window."""

LEAST_WEIGHT = 1e-3
"""Of the largest. At the corner of a window the Gaussian is 1e-7, which would drown in rounding."""

Predict = Callable[[Tensor], Tensor]
"""From images [n, C, h, w] to logits [n, K, h, w]."""
Take = Callable[[slice, slice], Tensor]
"""From rows and columns to that part of an image: [C, h, w]."""


def window_logits(
    predict: Predict, images: Tensor, *, window: int, overlap: float, batch_size: int
) -> Tensor:
    """Logits float32 [N, K, H, W] of images [N, C, H, W]: means over windows, weighted by a Gaussian.

    An image that one window covers is predicted whole, so the result is exactly that of `predict`. Windows
    lie at most `(1 - overlap) * window` apart and evenly, the first and last ones at the edges; along a side
    shorter than `window` they are as long as that side.

    Args:
        window: side in pixels.
        overlap: share of a window that the next one covers too, at least: 0 <= overlap < 1.
        batch_size: windows predicted at once; in addition, only images and logits take memory.
    """
    height, width = images.shape[-2:]
    if height <= window and width <= window:
        return predict(images)
    total = torch.zeros(())
    for number, image in enumerate(images):

        def take(rows: slice, columns: slice, image: Tensor = image) -> Tensor:
            return image[:, rows, columns]

        top = 0
        places = window_places(height, width, window, overlap)
        for strip in _strips(predict, take, places, min(window, height), min(window, width), batch_size):
            if not total.dim():
                total = strip.new_empty((len(images), len(strip), height, width))
            total[number, :, top : top + strip.shape[1]] = strip
            top += strip.shape[1]
    return total


def flipped_strips(
    predict: Predict,
    take: Take,
    size: tuple[int, int],
    *,
    window: int,
    overlap: float,
    batch_size: int,
    flips: str = "none",
    overlapping: bool = False,
) -> Iterator[Tensor]:
    """Logits [K, h, W] of an image larger than the window, strip by strip from its top to its bottom.

    Together they are what `flipped_logits` makes of `window_logits`, while the memory holds no more than the
    logits of the windows side by side. Without flips they are the same bit for bit; with flips windows are
    added up in another order, and torch computes shorter rows, so that values differ by their rounding.

    Args:
        take: parts of the image, on the device.
        size: height and width of the image.
        flips, overlapping: see `flipped_logits`; for the others `window_logits`.
    """
    tall, wide = min(window, size[0]), min(window, size[1])

    def strips(dims: tuple[int, ...]) -> Iterator[Tensor]:
        def mirrored(crops: Tensor) -> Tensor:
            return predict(crops.flip(dims)).flip(dims) if dims else predict(crops)

        places = window_places(*size, window, overlap, dims)
        return _strips(mirrored, take, places, tall, wide, batch_size)

    for first, *others in together([strips(()), *map(strips, FLIPS[flips])]):
        yield mean_logits(first, others, overlapping=overlapping)


def window_places(
    height: int, width: int, window: int, overlap: float, flipped: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """First row and column of each window, from top to bottom.

    Args:
        flipped: dimensions by which the image is flipped before it is cut; the places are those in the image
            as it is.
    """
    tops, lefts = _starts(height, window, overlap), _starts(width, window, overlap)
    if ROWS in flipped:
        tops = [max(0, height - window) - top for top in reversed(tops)]
    if COLUMNS in flipped:  # in the order in which the flipped image is cut
        lefts = [max(0, width - window) - left for left in lefts]
    return list(itertools.product(tops, lefts))


def _strips(
    predict: Predict, take: Take, places: Sequence[tuple[int, int]], tall: int, wide: int, batch_size: int
) -> Iterator[Tensor]:
    """Mean logits float32 [K, h, W] of the windows at `places`: the rows that no later window reaches."""
    width = wide + max(left for _, left in places)
    top, total, weights = 0, torch.zeros(()), torch.zeros(())
    for first in range(0, len(places), batch_size):
        chosen = places[first : first + batch_size]
        crops = torch.stack([take(slice(y, y + tall), slice(x, x + wide)) for y, x in chosen])
        weight = _gaussian(tall, wide).to(crops.device)
        logits = predict(crops).float() * weight
        rows = chosen[-1][0] + tall - top
        total = _extended(total, logits.new_zeros((logits.shape[1], rows, width)))
        weights = _extended(weights, logits.new_zeros((1, rows, width)))
        for (y, x), of_window in zip(chosen, logits, strict=True):
            total[:, y - top : y - top + tall, x : x + wide] += of_window
            weights[:, y - top : y - top + tall, x : x + wide] += weight
        end = places[first + batch_size][0] if first + batch_size < len(places) else top + rows
        if end > top:
            yield total[:, : end - top] / weights[:, : end - top]
            total, weights, top = total[:, end - top :], weights[:, end - top :], end


def _extended(rows: Tensor, more: Tensor) -> Tensor:
    """`more` with what there is of its first rows."""
    if rows.dim():
        if rows.shape == more.shape:
            return rows
        more[:, : rows.shape[1]] = rows
    return more


def together(each: Sequence[Iterator[Tensor]]) -> Iterator[list[Tensor]]:
    """Strips [K, h, W] of the same rows of all of them, whatever rows each of theirs has."""
    waiting = [next(strips) for strips in each]
    while True:
        rows = min(strip.shape[1] for strip in waiting)
        yield [strip[:, :rows] for strip in waiting]
        waiting = [strip[:, rows:] for strip in waiting]
        for number, strips in enumerate(each):
            if not waiting[number].shape[1]:
                following = next(strips, None)
                if following is None:
                    return
                waiting[number] = following


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
