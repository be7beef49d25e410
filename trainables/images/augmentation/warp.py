"""Scale, rotation and elastic deformation of an image and its mask, by one interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from trainables.images.augmentation.flips_and_light import Draw, chosen, window_of
from trainables.images.augmentation.options import ElasticOptions, JointAugmentOptions

KNOTS_PER_SIGMA = 2.5
"""Of the field of displacements, which is linear between its knots."""
_TRUNCATE = 3
"""Standard deviations from which on the Gaussian is 0."""


@dataclass(frozen=True)
class Warp:
    """How the pixels of a sample move about a place that is fixed."""

    turn: float
    """Counterclockwise, in radians."""
    displacements: np.ndarray | None
    """Down and to the right, in pixels of the result: float32 [2, h, w]."""

    def holding(self, row: int, column: int) -> Warp:
        """The same, but a pixel is not displaced: all are by as much less."""
        if self.displacements is None:
            return self
        return replace(
            self, displacements=self.displacements - self.displacements[:, row, column, None, None]
        )


def drawn_warp(randoms: np.ndarray, augment: JointAugmentOptions, size: tuple[int, int]) -> Warp | None:
    """That of a sample; None where its pixels stay where they are."""
    turn, displacements = 0.0, None
    if augment.rotation is not None and (rng := chosen(randoms, Draw.ROTATION, augment.rotation)):
        turn = math.radians(augment.rotation.degrees) * (2.0 * rng.random() - 1.0)
    elastic = augment.elastic
    if elastic is not None and elastic.alpha and (rng := chosen(randoms, Draw.ELASTIC, elastic)):
        displacements = elastic_field(rng, size, elastic)
    return None if not turn and displacements is None else Warp(turn, displacements)


def elastic_field(rng: np.random.Generator, size: tuple[int, int], options: ElasticOptions) -> np.ndarray:
    """Displacements of `size` pixels: float32 [2, h, w].

    Noise is drawn and smoothed at about `KNOTS_PER_SIGMA` knots, each for the mean of the pixels around it,
    and interpolated linearly.
    """
    step = max(1, round(options.sigma / KNOTS_PER_SIGMA))
    sigma = options.sigma / step
    margin = math.ceil(_TRUNCATE * sigma)
    knots = [math.ceil(length / step) + 1 for length in size]
    noise = rng.random((2, knots[0] + 2 * margin, knots[1] + 2 * margin), np.float32) * 2.0 - 1.0
    noise *= options.alpha / step
    smooth = gaussian_filter(noise, (0.0, sigma, sigma), mode="constant", truncate=_TRUNCATE)
    smooth = smooth[:, margin:-margin, margin:-margin]
    if step > 1:
        fine = [step * number for number in knots]
        planes = torch.from_numpy(np.ascontiguousarray(smooth))[None]
        smooth = F.interpolate(planes, size=fine, mode="bilinear", align_corners=False)[0].numpy()
    return smooth[:, : size[0], : size[1]]


def warped(
    image: np.ndarray,
    mask: np.ndarray,
    warp: Warp,
    *,
    size: tuple[int, int],
    factor: float,
    fixed: tuple[float, float],
    source: tuple[float, float],
    fill: np.ndarray,
    outside: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [h, w, C] and mask uint8 [h, w] of `size`; only the pixels that they need are touched.

    Places are rows and columns, in pixels from the corner: the middle of the first pixel is (0.5, 0.5).

    Args:
        factor: pixels of the source per pixel of the result, along each side.
        fixed: the place in the result about which it is turned.
        source: the same place in the source.
        fill: uint8 [C] of what comes from outside of the image; `outside` is its label.
    """
    first = math.floor(source[0]), math.floor(source[1])
    rows, columns = _sources(warp, size, factor, fixed)
    for places, start, whole, length in zip((rows, columns), source, first, mask.shape, strict=True):
        places += start - whole
        # A pixel outside is as good as one that is further away, and needs no more memory.
        np.clip(places, -0.5 - whole, length + 0.5 - whole, out=places)
    top, left = math.floor(rows.min() - 0.5), math.floor(columns.min() - 0.5)
    height, width = math.ceil(rows.max() + 0.5) - top, math.ceil(columns.max() + 0.5) - left
    rows -= top
    columns -= left
    place = first[0] + top, first[1] + left, height, width
    pixels, labels = window_of(image, *place, fill), window_of(mask, *place, outside)
    nearest = rows.astype(np.int32) * width + columns.astype(np.int32)
    return _bilinear(pixels, rows, columns), labels.ravel().take(nearest)


def _sources(
    warp: Warp, size: tuple[int, int], factor: float, fixed: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel comes from, in pixels of the source from the fixed place: float32 [h, w] each."""
    down = (np.arange(size[0]) + 0.5 - fixed[0])[:, None]
    right = (np.arange(size[1]) + 0.5 - fixed[1])[None, :]
    cos, sin = factor * math.cos(warp.turn), factor * math.sin(warp.turn)
    rows = (cos * down).astype(np.float32) + (sin * right).astype(np.float32)
    columns = (cos * right).astype(np.float32) - (sin * down).astype(np.float32)
    if warp.displacements is not None:
        y, x = warp.displacements
        rows += np.float32(cos) * y + np.float32(sin) * x
        columns += np.float32(cos) * x - np.float32(sin) * y
    return rows, columns


def _bilinear(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    grid = np.stack([columns * (2.0 / width) - 1.0, rows * (2.0 / height) - 1.0], axis=-1)
    planes = torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order="C"))[None]
    moved = F.grid_sample(planes, torch.from_numpy(grid)[None], padding_mode="border", align_corners=False)
    return np.stack(list(moved[0].add_(0.5).to(torch.uint8).numpy()), axis=-1)
