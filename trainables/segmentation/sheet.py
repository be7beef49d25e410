"""A sheet of pictures: image, truth and prediction side by side, one sample a row."""

from __future__ import annotations

import numpy as np

from trainables.images.augment import IGNORE, pad_together

IGNORED_COLOUR = (255, 255, 255)
"""White, which no class has."""
GAP = 2
LARGEST_SIDE, LEAST_SIDE = 256, 128
"""Pictures are thinned or enlarged, by a whole factor, to about these many pixels."""


def palette() -> np.ndarray:
    """The colours of Pascal VOC by label, and white for `IGNORE`: uint8 [256, 3]."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((labels >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    colours[IGNORE] = IGNORED_COLOUR
    return colours


def sample_sheet(images: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """One picture uint8 [H, W, 3] of images float [N, h, w, C] in 0..1 and of labels [N, h, w].

    Ignored pixels of the truth are white.
    """
    colours = palette()
    shown = (images.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
    grey = shown.shape[-1] != 3
    rgb = shown[..., :1].repeat(3, axis=-1) if grey else shown
    columns = [_fit(pictures) for pictures in (rgb, colours[truth], colours[predicted])]
    rows = [
        np.concatenate([_framed(picture) for picture in row], axis=1) for row in zip(*columns, strict=True)
    ]
    return np.concatenate(rows, axis=0)


def _fit(pictures: np.ndarray) -> np.ndarray:
    longest = max(pictures.shape[1:3])
    if longest > LARGEST_SIDE:
        step = -(-longest // LARGEST_SIDE)
        return pictures[:, ::step, ::step]
    factor = max(1, -(-LEAST_SIDE // longest))
    return pictures.repeat(factor, axis=1).repeat(factor, axis=2)


def _framed(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    frame = np.full((height + GAP, width + GAP, 3), 128, np.uint8)
    return pad_together([picture, frame], 128)[0]
