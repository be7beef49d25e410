"""Real handwritten digits, scattered over canvases: a segmentation problem that needs no download.

The 1,797 digits of scikit-learn (8x8, from the UCI optical recognition set) are split into training and
validation digits before anything is composed, so no validation canvas holds a digit seen in training.
"""

from __future__ import annotations

import numpy as np

from trainables.folds.assign import rows_in_folds
from trainables.images.statistics import mean_and_std, pixel_sums
from trainables.segmentation.options import DigitsOptions

CLASS_NAMES = ("background", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
DIGIT_SIZE = 8
INK = 5
"""Least grey value (of 16) of a pixel that belongs to the digit."""


def load_digits_arrays(options: DigitsOptions) -> dict[str, np.ndarray]:
    """Canvases and their masks, a pure function of the options.

    Training ones are of four fifths of the digits, or with folds of those outside of the one for validation.

    Returns:
        `train_inputs`, `valid_inputs`: uint8 [N, size, size, 1]; `train_targets`, `valid_targets`: uint8
        [N, size, size], 0 the background and d + 1 the digit d; `class_names` [11], `class_counts`
        int64 [11] of pixels in the training masks, `mean` and `std` float32 [1] of the training images.

    Raises:
        ValueError: if not even one enlarged digit fits on a canvas.
    """
    enlarge, size, seed = options.enlarge, options.size, options.seed
    if size < DIGIT_SIZE * enlarge:
        raise ValueError(
            f"data.size is {size}; with data.enlarge {enlarge} a digit alone takes "
            f"{DIGIT_SIZE * enlarge} pixels"
        )
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    glyphs = images.reshape(-1, DIGIT_SIZE, DIGIT_SIZE).astype(np.uint8)
    train, valid = _split(options, len(glyphs))
    arrays: dict[str, np.ndarray] = {"class_names": np.array(CLASS_NAMES)}
    for part, chosen, count, stream in (
        ("train", train, options.num_train, 1),
        ("valid", valid, options.num_valid, 2),
    ):
        rng = np.random.default_rng([seed, stream])
        large = glyphs[chosen].repeat(enlarge, axis=1).repeat(enlarge, axis=2)
        canvases, masks = _compose(large, labels[chosen].astype(np.uint8), count, size, options.empty, rng)
        arrays[f"{part}_inputs"] = _grey(canvases, options.noise, rng)
        arrays[f"{part}_targets"] = masks
    arrays["class_counts"] = np.bincount(arrays["train_targets"].ravel(), minlength=len(CLASS_NAMES))
    arrays["mean"], arrays["std"] = mean_and_std(pixel_sums(arrays["train_inputs"]))
    return arrays


def _split(options: DigitsOptions, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The digits of training canvases and of validation ones."""
    if options.folds is not None:
        folds = rows_in_folds(options, number, "digits")
        return folds.train, folds.valid
    order = np.random.default_rng([options.seed, 0]).permutation(number)
    cut = number * 4 // 5
    return order[:cut], order[cut:]


def _compose(
    glyphs: np.ndarray, labels: np.ndarray, count: int, size: int, empty: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Grey values 0..16 and masks, both uint8 [count, size, size]; one digit per cell of a jittered grid."""
    side = glyphs.shape[1]
    grid = max(1, size // (side + max(1, side // 8)))
    cell = size // grid
    canvases = np.zeros((count, size, size), np.uint8)
    masks = np.zeros((count, size, size), np.uint8)
    each = np.arange(count)[:, None, None]
    down, right = np.arange(side)[:, None], np.arange(side)[None, :]
    for row in range(grid):
        for column in range(grid):
            picked = rng.integers(len(glyphs), size=count)
            jitter = rng.integers(cell - side + 1, size=(2, count, 1, 1))
            shown = rng.random(count) >= empty
            ink = glyphs[picked] * shown[:, None, None].astype(np.uint8)
            where = each, row * cell + jitter[0] + down, column * cell + jitter[1] + right
            canvases[where] = ink
            masks[where] = np.where(ink >= INK, labels[picked, None, None] + 1, 0)
    return canvases, masks


def _grey(canvases: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Grey values 0..16 as noisy uint8 images [N, H, W, 1]."""
    values = canvases.astype(np.float32) / 16.0
    if noise > 0:
        values += noise * rng.standard_normal(values.shape, dtype=np.float32)
    return (values.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)[..., None]
