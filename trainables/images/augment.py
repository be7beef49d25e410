"""Joint augmentation of images and masks, a pure function of given random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from trainables.images.options import JointAugmentOptions

IGNORE = 255
"""Label of ignored pixels in every mask of this package."""

H_FLIP, V_FLIP, SCALE, TOP, LEFT, BRIGHTNESS, CONTRAST, GAMMA = range(8)
"""Columns of the random numbers; fixed, so that switching one augmentation on leaves the others alike."""


def num_randoms(augment: JointAugmentOptions) -> int:
    """Random numbers that one sample needs."""
    return 0 if augment == JointAugmentOptions() else GAMMA + 1


def flip(
    images: np.ndarray, masks: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror the chosen samples of images [B, H, W, C] and masks [B, H, W] in place."""
    across = randoms[:, H_FLIP] < augment.horizontal_flip
    upside_down = randoms[:, V_FLIP] < augment.vertical_flip
    for arrays in (images, masks):
        arrays[across] = arrays[across, :, ::-1]
        arrays[upside_down] = arrays[upside_down, ::-1]
    return images, masks


def scale_and_crop(
    image: np.ndarray, mask: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions, fill: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A random window of one sample, scaled to the crop size: bilinear for the image, nearest for the mask.

    Where the window reaches beyond the image it holds `fill` (uint8 [C]) and `IGNORE`.

    Args:
        image: uint8 [H, W, C].
        mask: uint8 [H, W].
        randoms: float64 [num_randoms].
    """
    crop = augment.crop
    assert crop is not None
    ratio = augment.scale_max / augment.scale_min
    scale = augment.scale_min * ratio ** float(randoms[SCALE])
    side = max(1, round(crop / scale))
    top = _place(mask.shape[0], side, float(randoms[TOP]))
    left = _place(mask.shape[1], side, float(randoms[LEFT]))
    window = window_of(image, top, left, side, fill)
    labels = window_of(mask, top, left, side, IGNORE)
    return _resize_image(window, crop), _resize_mask(labels, crop)


def window_of(array: np.ndarray, top: int, left: int, side: int, fill: np.ndarray | int) -> np.ndarray:
    """`array[top : top + side, left : left + side]`, filled where that lies outside."""
    height, width = array.shape[:2]
    bottom, right = top + side, left + side
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return array[top:bottom, left:right]
    window = np.empty((side, side, *array.shape[2:]), array.dtype)
    window[...] = fill
    inside = array[max(top, 0) : bottom, max(left, 0) : right]
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
    factors = 1.0 / std
    shifts = -mean * factors
    levels = 255.0
    if randoms is not None and augment is not None:
        signed = 2.0 * randoms[:, None, None, None, BRIGHTNESS:] - 1.0
        contrast = 1.0 + augment.contrast * signed[..., CONTRAST - BRIGHTNESS]
        shifts = (mean + augment.brightness * signed[..., 0] - mean * contrast) * factors + shifts
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
    together[...] = fill
    for place, array in zip(together, arrays, strict=True):
        place[: array.shape[0], : array.shape[1]] = array
    return together


def _place(length: int, side: int, random: float) -> int:
    """First pixel of a window of `side` in (or, where it is longer, around) `length` pixels."""
    room = abs(length - side)
    offset = min(int(random * (room + 1)), room)
    return offset if side <= length else -offset


def _power(images: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """(x / 255) ** exponent for each sample, by table: float32 [B, H, W, C]."""
    levels = np.arange(256) / 255.0
    powered = np.empty(images.shape, np.float32)
    for place, image, exponent in zip(powered, images, exponents, strict=True):
        place[...] = (levels**exponent).astype(np.float32)[image]
    return powered


def _resize_image(window: np.ndarray, side: int) -> np.ndarray:
    if window.shape[0] == side:
        return window
    # The window may be a view of shared memory, which is read-only; torch wants to write.
    planes = torch.from_numpy(np.require(window, requirements=["C", "W"])).permute(2, 0, 1)[None]
    resized = F.interpolate(planes, size=(side, side), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _resize_mask(window: np.ndarray, side: int) -> np.ndarray:
    if window.shape[0] == side:
        return window
    nearest = ((np.arange(side) + 0.5) * (window.shape[0] / side)).astype(np.intp)
    return window[nearest[:, None], nearest[None, :]]
