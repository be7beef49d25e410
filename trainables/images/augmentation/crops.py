"""Which part of an image and its mask a sample shows, and how it is scaled, turned and bent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from trainables.images.augmentation.flips_and_light import IGNORE, LEFT, SCALE, TOP, Draw, chosen, window_of
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.augmentation.warp import Warp, drawn_warp, warped
from trainables.images.masks.packed import holds

Pixel = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """A part of an image, which may reach beyond it."""

    top: int
    left: int
    height: int
    width: int
    pixel: Pixel | None = None
    """Row and column in the image of one that is shown, whatever is done to the window."""


def cropped(
    image: np.ndarray,
    mask: np.ndarray,
    randoms: np.ndarray,
    augment: JointAugmentOptions,
    fill: np.ndarray,
    classes: Sequence[int] = (),
    *,
    overlapping: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """A random window of one sample at the size of the crop, or the sample at its own size without a crop.

    Scale, rotation and elastic deformation are one interpolation: bilinear for the image, nearest for the
    mask. Where the window reaches beyond the image it holds `fill` (uint8 [C]) and `IGNORE`. Only the
    window's pixels are touched, so that large images cost no more.

    Args:
        image: uint8 [H, W, C].
        mask: uint8 [H, W].
        randoms: float64 [num_randoms].
        classes: of which `oversample` shows one.
        overlapping: whether the mask is of packed classes, see `masks.packed`.
    """
    if augment.crop is None and not mask.size:
        return image, mask  # skipped
    pixel = _pixel_to_show(mask, randoms, augment, classes, overlapping=overlapping)
    window = _window(mask, randoms, augment, pixel)
    size = (window.height, window.width) if augment.crop is None else (augment.crop, augment.crop)
    warp = drawn_warp(randoms, augment, size)
    if warp is not None:
        return _warped(image, mask, window, size, warp, fill)
    pixels = window_of(image, window.top, window.left, window.height, window.width, fill)
    labels = window_of(mask, window.top, window.left, window.height, window.width, IGNORE)
    return _resize_image(pixels, size), _resize_mask(labels, size)


def padded_crops(shapes: np.ndarray, augment: JointAugmentOptions) -> Iterator[str]:
    """What a person should know where no training image is as large as a crop.

    Args:
        shapes: int64 [N, 2].
    """
    if augment.crop is None:
        return
    height, width = shapes[np.argmax(shapes.min(axis=1))].tolist()
    shorter, needed = min(height, width), augment.crop / augment.scale_max
    if shorter < needed:
        share = min(height / needed, 1.0) * min(width / needed, 1.0)
        yield (
            f"augment.crop is {augment.crop} and all training images are smaller, the largest "
            f"{width}x{height}: every crop is padded with the mean colour, which the mask ignores, and "
            f"{share:.0%} of it is image at most; set augment.crop to at most "
            f"{int(shorter * augment.scale_max)}, or augment.scale_max to "
            f"{math.ceil(100 * augment.crop / shorter) / 100:g}"
        )


def _window(
    mask: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions, pixel: Pixel | None
) -> Window:
    height, width = mask.shape
    if augment.crop is None:
        return Window(0, 0, height, width)
    ratio = augment.scale_max / augment.scale_min
    scale = augment.scale_min * ratio ** float(randoms[SCALE])
    side = max(1, round(augment.crop / scale))
    row, column = pixel or (None, None)
    top = _place(height, side, float(randoms[TOP]), row)
    left = _place(width, side, float(randoms[LEFT]), column)
    return Window(top, left, side, side, pixel)


def _place(length: int, side: int, random: float, shown: int | None = None) -> int:
    """First pixel of a window of `side` in (or, where it is longer, around) `length` pixels.

    Args:
        shown: a pixel that the window must hold.
    """
    if side > length:
        return -_below(random, side - length + 1)
    first, last = (
        (0, length - side) if shown is None else (max(0, shown - side + 1), min(shown, length - side))
    )
    return first + _below(random, last - first + 1)


def _below(random: float, count: int) -> int:
    return min(int(random * count), count - 1)


def _pixel_to_show(
    mask: np.ndarray,
    randoms: np.ndarray,
    augment: JointAugmentOptions,
    classes: Sequence[int],
    *,
    overlapping: bool,
) -> Pixel | None:
    """A random pixel of a random class that the mask has, if this sample is oversampled."""
    rng = None if augment.crop is None else chosen(randoms, Draw.OVERSAMPLE, augment.oversample)
    if rng is None:
        return None
    for label in rng.permutation(np.asarray(classes)):
        is_shown = holds(mask, int(label)) if overlapping else mask == label
        ends = np.fromiter(map(np.count_nonzero, is_shown), np.int64, len(mask)).cumsum()
        if len(ends) and ends[-1]:
            number = int(rng.integers(ends[-1]))
            row = int(np.searchsorted(ends, number, side="right"))
            before = int(ends[row - 1]) if row else 0
            return row, int(np.flatnonzero(is_shown[row])[number - before])
    return None


def _warped(
    image: np.ndarray, mask: np.ndarray, window: Window, size: tuple[int, int], warp: Warp, fill: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The window turned about its middle, or about the pixel that it must show, which stays in its place."""
    factor = window.height / size[0]
    if window.pixel is None:
        fixed = size[0] / 2.0, size[1] / 2.0
        source = window.top + window.height / 2.0, window.left + window.width / 2.0
    else:
        row, column = window.pixel
        y, x = int((row + 0.5 - window.top) / factor), int((column + 0.5 - window.left) / factor)
        warp, fixed, source = warp.holding(y, x), (y + 0.5, x + 0.5), (row + 0.5, column + 0.5)
    return warped(
        image, mask, warp, size=size, factor=factor, fixed=fixed, source=source, fill=fill, outside=IGNORE
    )


def _resize_image(window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if window.shape[:2] == size:
        return window
    # The window may be a view of shared memory, which is read-only; torch wants to write.
    planes = torch.from_numpy(np.require(window, requirements=["C", "W"])).permute(2, 0, 1)[None]
    resized = F.interpolate(planes, size=size, mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def _resize_mask(window: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if window.shape == size:
        return window
    rows, columns = (
        ((np.arange(side) + 0.5) * (length / side)).astype(np.intp)
        for side, length in zip(size, window.shape, strict=True)
    )
    return window[rows[:, None], columns[None, :]]
