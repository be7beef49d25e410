"""Small searches whose exports predict the files of their own validation data."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from in_process import search_locally
from PIL import Image

import search

UNET = {"name": "unet", "width": 4, "depth": 1}
DIGITS = {
    "data": {"source": "digits", "size": 16, "num_train": 40, "num_valid": 10},
    "model": UNET,
    "optimizer": {"lr": 0.02},
    "batch_size": 8,
}
PHOTOS = {
    "model": UNET,
    "augment": {"crop": 16},
    "optimizer": {"lr": 0.02},
    "batch_size": 4,
}
SIZES = [(40, 23), (16, 16), (9, 31), (33, 47)]
"""Height and width of validation images: larger than a window of 16, as large, smaller along a side."""


def exported(folder: Path, task: str, trial: dict[str, Any], **changes: Any) -> Path:
    """The export of a search of one short trial."""
    metric, mode = {
        "segmentation": ("miou", "max"),
        "regression": ("rmse", "min"),
        "gan": ("frechet_distance", "min"),
    }.get(task, ("accuracy", "max"))
    config = {
        "name": "small",
        "task": task,
        "objective": {"metric": metric, "mode": mode},
        "virtual_epoch": {"steps": 6},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
        "trial": trial,
        **changes,
    }
    return search.export(search_locally(config, results=folder / "results").folder).folder


def metrics(export: Path) -> dict[str, float]:
    """Those of the validation, as the export has them."""
    found: dict[str, float] = json.loads((export / "metrics.json").read_text())["metrics"]
    del found["valid_loss"]
    return found


def rows(out: Path) -> list[dict[str, str]]:
    """What predictions.csv of a folder holds."""
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_images(folder: Path, arrays: Any) -> Path:
    """Images [H, W] or [H, W, C] as PNG files of their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, array in enumerate(arrays):
        pixels = np.asarray(array)
        pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
        Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def write_photos(root: Path, draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray]) -> Path:
    """Training and validation folders of images of several sizes, whose masks follow from their values."""
    rng = np.random.default_rng(0)
    for part, sizes in (("train", [(24, 28)] * 6), ("val", SIZES)):
        for number, size in enumerate(sizes):
            image = draw(rng, size)
            low, high = image.min(), image.max()
            mask = ((image.reshape(*size, -1).mean(axis=-1) - low) * 2.99 / (high - low)).astype(np.uint8)
            mask[0] = 255
            for kind, array in (("images", image), ("masks", mask)):
                folder = root / part / kind / ("day" if number % 2 else "night")
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(folder / f"{number}.png")
    return root


def colours(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A smooth image uint8 [H, W, 3]."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return np.asarray(coarse.resize(size[::-1], Image.Resampling.BILINEAR))


def deep_greys(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A smooth image of 16 bits: uint16 [H, W]."""
    return (colours(rng, size)[..., 0].astype(np.uint16) * 200 + 1000).astype(np.uint16)
