"""The data that a recording makes itself: digits as tables, and mosaics of textures as a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

PIXEL_NOISE = 6.0
"""Standard deviation; pixels of scikit-learn's digits go from 0 to 16."""
SIDE = 32
"""Of a mosaic, in pixels."""
NUM_MOSAICS = 224
_TEXTURE = 128


def write_all(folder: Path) -> None:
    """All that the problems read, under the names that they give to it."""
    write_digits(folder / "digits.csv")
    write_digits(folder / "noisy_digits.csv", noise=PIXEL_NOISE)
    write_textures(folder / "textures")


def write_digits(file: Path, noise: float = 0.0) -> None:
    """scikit-learn's handwritten digits: a column for each of the 64 pixels, and the digit."""
    digits = load_digits()
    pixels = digits.data + noise * np.random.default_rng(0).standard_normal(digits.data.shape)
    columns = [f"pixel_{number}" for number in range(digits.data.shape[1])]
    pd.DataFrame(pixels.round(2), columns=columns).assign(digit=digits.target).to_csv(file, index=False)


def write_textures(folder: Path) -> None:
    """Mosaics of two to four textures each, whose label says which texture a pixel has."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng, textures = np.random.default_rng(0), _textures()
    for number in range(NUM_MOSAICS):
        image, mask = _mosaic(rng, textures)
        Image.fromarray(image).save(folder / "images" / f"{number:03}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number:03}.png")


def _textures() -> list[np.ndarray]:
    """Grey textures: uint8 [_TEXTURE, _TEXTURE] each, of scikit-learn's two photographs and of code."""
    china = load_sample_image("china.jpg").mean(2)
    flower = load_sample_image("flower.jpg").mean(2)
    rows, columns = np.mgrid[:_TEXTURE, :_TEXTURE]
    stripes = 128 + 60 * np.sin(rows * 0.9 + columns * 0.3)
    checks = 128 + 60 * np.sign(np.sin(rows * 0.7) * np.sin(columns * 0.7))
    photographs = [china[180:, 250:], china[290:, 60:], flower[120:, 250:], flower[250:, 0:]]
    cut = [photograph[:_TEXTURE, :_TEXTURE] for photograph in photographs]
    # Alike in mean and contrast, so that a pixel alone does not say which texture it is of.
    alike = [110 + 40 * (t - t.mean()) / t.std() for t in (*cut, stripes, checks)]
    return [np.clip(texture, 0, 255).astype(np.uint8) for texture in alike]


def _mosaic(rng: np.random.Generator, textures: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The cells of a few random points, each with a random cut of another texture, and noise over all."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    count = int(rng.integers(2, 5))
    points = rng.uniform(0, SIDE, (count, 2))
    nearest = ((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2).argmin(2)
    classes = rng.permutation(len(textures))[:count]
    image = np.zeros((SIDE, SIDE))
    for cell, label in enumerate(classes):
        top, left = rng.integers(0, _TEXTURE - SIDE, 2)
        image = np.where(nearest == cell, textures[label][top : top + SIDE, left : left + SIDE], image)
    image += rng.normal(0, 15, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), classes[nearest].astype(np.uint8)
