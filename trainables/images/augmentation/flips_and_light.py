"""Flips and light of images and masks together, a pure function of given random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, auto

import numpy as np

from trainables.images.augmentation.options import JointAugmentOptions, SometimesOptions
from trainables.images.statistics import standardized

IGNORE = 255
"""Label of ignored pixels in every mask of this package."""

H_FLIP, V_FLIP, SCALE, TOP, LEFT, BRIGHTNESS, CONTRAST, GAMMA = range(8)
"""Columns of the random numbers; fixed, so that switching one augmentation on leaves the others alike."""


class Draw(IntEnum):
    """What needs more random numbers than the columns; each draws its own."""

    ROTATE_90 = auto()
    OVERSAMPLE = auto()
    ROTATION = auto()
    ELASTIC = auto()
    BLUR = auto()
    LOW_RESOLUTION = auto()
    NOISE = auto()
    MOSAIC = auto()
    CUTMIX = auto()
    CUTOUT = auto()


def generator(randoms: np.ndarray, draw: Draw) -> np.random.Generator:
    """Random numbers of a sample for one purpose, a function of its columns."""
    return np.random.default_rng([draw, *np.ascontiguousarray(randoms).view(np.uint64).tolist()])


def chosen(randoms: np.ndarray, draw: Draw, options: SometimesOptions | None) -> np.random.Generator | None:
    """The random numbers of an augmentation; None for a sample that does not get it."""
    if options is None or not options.p:
        return None
    rng = generator(randoms, draw)
    return rng if rng.random() < options.p else None


def num_randoms(augment: JointAugmentOptions) -> int:
    """Random numbers that one sample needs."""
    return 0 if augment == JointAugmentOptions() else GAMMA + 1


def flip(
    images: np.ndarray, masks: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the chosen samples of images [B, H, W, C] and masks [B, H, W] in place."""
    across = np.flatnonzero(randoms[:, H_FLIP] < augment.horizontal_flip)
    upside_down = np.flatnonzero(randoms[:, V_FLIP] < augment.vertical_flip)
    backwards = np.arange(images.shape[2])[::-1]
    for arrays in (images, masks):
        for place in across:
            arrays[place] = arrays[place].take(backwards, axis=1)  # faster than a slice
        for place in upside_down:
            arrays[place] = arrays[place, ::-1]
    return images, masks


def rotate_90(
    image: np.ndarray, mask: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions
) -> tuple[np.ndarray, np.ndarray]:
    """One sample, turned counterclockwise by 90, 180 or 270 degrees if it is chosen."""
    if not augment.rotate_90:
        return image, mask
    rng = generator(randoms, Draw.ROTATE_90)
    if rng.random() >= augment.rotate_90:
        return image, mask
    turns = int(rng.integers(1, 4))
    return np.rot90(image, turns), np.rot90(mask, turns)


def window_of(
    array: np.ndarray, top: int, left: int, height: int, width: int, fill: np.ndarray | int
) -> np.ndarray:
    """`array[top : top + height, left : left + width]`, filled where that lies outside."""
    bottom, right = top + height, left + width
    if top >= 0 and left >= 0 and bottom <= array.shape[0] and right <= array.shape[1]:
        return array[top:bottom, left:right]
    window = np.empty((height, width, *array.shape[2:]), array.dtype)
    window[:] = np.broadcast_to(fill, window.shape[1:]).copy()  # a row at a time is faster
    inside = array[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    y, x = max(-top, 0), max(-left, 0)
    window[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return window


def normalize(
    images: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    randoms: np.ndarray | None = None,
    augment: JointAugmentOptions | None = None,
) -> np.ndarray:
    """Images [B, H, W, C] from uint8 to float32 of about zero mean and unit deviation, with changed light.

    Without augmentation this is `(x / 255 - mean) / std`; with it x / 255 becomes
    `((x / 255) ** gamma - mean) * contrast + mean + brightness` first. `mean` and `std` are float32 [C].
    """
    if randoms is None or augment is None:
        return standardized(images, mean, std)
    factors, levels = 1.0 / std, 255.0
    signed = 2.0 * randoms[:, None, None, None, BRIGHTNESS:] - 1.0
    contrast = 1.0 + augment.contrast * signed[..., CONTRAST - BRIGHTNESS]
    shifts = (mean + augment.brightness * signed[..., 0] - mean * contrast) * factors - mean * factors
    factors = contrast * factors
    if augment.gamma:
        exponents = np.exp(augment.gamma * signed[:, 0, 0, 0, GAMMA - BRIGHTNESS])
        images, levels = _power(images, exponents), 1.0
    return images * (factors / levels).astype(np.float32) + shifts.astype(np.float32)


def pad_together(arrays: Sequence[np.ndarray], fill: np.ndarray | int) -> np.ndarray:
    """Arrays [H_i, W_i, ...] in one [N, max H, max W, ...], filled at the bottom and on the right."""
    height = max(array.shape[0] for array in arrays)
    width = max(array.shape[1] for array in arrays)
    together = np.empty((len(arrays), height, width, *arrays[0].shape[2:]), arrays[0].dtype)
    if len({array.shape for array in arrays}) > 1:
        together[...] = fill
    for place, array in zip(together, arrays, strict=True):
        place[: array.shape[0], : array.shape[1]] = array
    return together


def _power(images: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """(x / 255) ** exponent for each sample, by table: float32 [B, H, W, C]."""
    levels = np.arange(256) / 255.0
    powered = np.empty(images.shape, np.float32)
    for place, image, exponent in zip(powered, images, exponents, strict=True):
        place[...] = (levels**exponent).astype(np.float32)[image]
    return powered
