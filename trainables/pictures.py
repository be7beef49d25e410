"""Images in a grid, enlarged or thinned so that a person can see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.masks.packed import bit_of

FIRST_CHANNELS = (0, 1, 2)
GAP = 4
GREY = 128
"""Of what lies between the images."""
IGNORED_COLOUR = (255, 255, 255)
"""White, which no class has."""
LARGEST_SIDE, LEAST_SIDE = 256, 128
"""Pixels of samples with masks, about; generated images have at least `LEAST_GENERATED`."""
LEAST_GENERATED = 32


def palette() -> np.ndarray:
    """The colours of Pascal VOC by label, and white for `IGNORE`: uint8 [256, 3]."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((labels >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    colours[IGNORE] = IGNORED_COLOUR
    return colours


def coloured(
    masks: np.ndarray, overlapping: int | None = None, colours: np.ndarray | None = None
) -> np.ndarray:
    """Labels [...] in the colours of `palette`, or packed classes in the mean of theirs: uint8 [..., 3].

    Args:
        overlapping: number of classes that may overlap, of which class k has the colour k + 1.
        colours: others than those of `palette`, uint8 [256, 3].
    """
    colours = palette() if colours is None else colours
    if overlapping is None:
        return colours[masks]
    known = np.where(masks == IGNORE, 0, masks)
    total, count = np.zeros((*masks.shape, 3)), np.zeros((*masks.shape, 1))
    for number in range(overlapping):
        held = (known >> bit_of(number) & 1)[..., None]
        total, count = total + held * colours[number + 1].astype(float), count + held
    mixed = (total / np.maximum(count, 1)).round().astype(np.uint8)
    mixed[masks == IGNORE] = IGNORED_COLOUR
    return mixed


def shown_channels(images: np.ndarray, shown: Sequence[int]) -> np.ndarray:
    """What pictures show of images [..., C] from 0 to 1: [..., 3] or [..., 1].

    Of more than 3 channels those that are `shown`, each stretched between its 2nd and 98th percentile; 3 in
    the order of `shown`; of less the first one.
    """
    channels = images.shape[-1]
    if channels < 3:
        return images[..., :1]
    chosen = images[..., [number if number < channels else channels - 1 for number in shown]]
    if channels == 3:
        return chosen
    low, high = np.percentile(chosen, (2, 98), axis=tuple(range(chosen.ndim - 1)))
    return (chosen - low) / np.maximum(high - low, 1e-6)


def sample_grid(
    images: np.ndarray, truth: np.ndarray, predicted: np.ndarray, overlapping: int | None = None
) -> np.ndarray:
    """One sample a row, image, truth and prediction side by side: uint8 [H, W, 3].

    Ignored pixels of the truth are white.

    Args:
        images: float [N, h, w, C] in 0..1; where C is not 3, the first channel is shown as grey.
        truth, predicted: labels [N, h, w].
        overlapping: see `coloured`.
    """
    shown = (images.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
    rgb = shown if shown.shape[-1] == 3 else shown[..., :1].repeat(3, axis=-1)
    columns = [rgb, coloured(truth, overlapping), coloured(predicted, overlapping)]
    together = np.stack(columns, axis=1).reshape(-1, *rgb.shape[1:])
    step = -(-max(rgb.shape[1:3]) // LARGEST_SIDE)
    return _grid(together[:, ::step, ::step], columns=3, least_side=LEAST_SIDE)


def image_grid(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture uint8 [H, W, 3] of grey images float [N, 1, h, w] in -1..1; NaN is black."""
    shown = np.nan_to_num((images[:, 0] + 1.0) * 127.5, nan=0.0).clip(0.0, 255.0).round().astype(np.uint8)
    return _grid(shown[..., None].repeat(3, axis=-1), columns=columns, least_side=LEAST_GENERATED)


def _grid(images: np.ndarray, *, columns: int, least_side: int) -> np.ndarray:
    """Images uint8 [N, h, w, 3], enlarged by a whole factor to `least_side` pixels at least."""
    factor = max(1, -(-least_side // max(images.shape[1:3])))
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    rows = -(-len(large) // columns)
    height, width = large.shape[1] + GAP, large.shape[2] + GAP
    grid = np.full((rows * height + GAP, columns * width + GAP, 3), GREY, np.uint8)
    for number, image in enumerate(large):
        top, left = (number // columns) * height + GAP, (number % columns) * width + GAP
        grid[top : top + image.shape[0], left : left + image.shape[1]] = image
    return grid
