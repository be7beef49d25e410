"""A sheet of generated images in a grid, enlarged so that a person can see them."""

from __future__ import annotations

import numpy as np

GAP = 4
LEAST_SIDE = 32
"""Smaller images are enlarged, by a whole factor, to at least so many pixels."""


def image_grid(images: np.ndarray, columns: int) -> np.ndarray:
    """One picture uint8 [H, W, 3] of grey images float [N, 1, h, w] in -1..1; NaN is black."""
    shown = np.nan_to_num((images[:, 0] + 1.0) * 127.5, nan=0.0).clip(0.0, 255.0).round().astype(np.uint8)
    factor = -(-LEAST_SIDE // max(shown.shape[1:]))
    large = shown.repeat(max(1, factor), axis=1).repeat(max(1, factor), axis=2)
    height, width = large.shape[1] + GAP, large.shape[2] + GAP
    rows = -(-len(large) // columns)
    sheet = np.full((rows * height + GAP, columns * width + GAP, 3), 128, np.uint8)
    for number, image in enumerate(large):
        top, left = (number // columns) * height + GAP, (number % columns) * width + GAP
        sheet[top : top + image.shape[0], left : left + image.shape[1]] = image[..., None]
    return sheet
