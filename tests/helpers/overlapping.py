"""Masks of classes that overlap, in each of the ways to save them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("optic_disc", "exudate", "hard_exudate")
SHAPE = 12, 16


def planes(seed: int, classes: int = 3) -> np.ndarray:
    """bool [K, H, W] with overlaps."""
    return np.random.default_rng(seed).random((classes, *SHAPE)) < 0.4


def as_folders(root: Path, name: str, truth: np.ndarray, value: int = 255) -> None:
    for class_name, plane in zip(NAMES, truth, strict=True):
        (root / "masks" / class_name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(plane.astype(np.uint8) * value).save(root / f"masks/{class_name}/{name}.png")


def as_suffixes(root: Path, name: str, truth: np.ndarray) -> None:
    for class_name, plane in zip(NAMES, truth, strict=True):
        Image.fromarray(plane).save(root / f"masks/{name}_{class_name}.png")


def as_both(root: Path, name: str, truth: np.ndarray) -> None:
    for class_name, plane in zip(NAMES, truth, strict=True):
        (root / "masks" / class_name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(plane.astype(np.uint8)).save(root / f"masks/{class_name}/{name}_{class_name}.png")


def as_bits(root: Path, name: str, truth: np.ndarray) -> None:
    bits = sum(plane.astype(np.uint8) << number for number, plane in enumerate(truth))
    Image.fromarray(bits).save(root / f"masks/{name}.png")


def as_array(root: Path, name: str, truth: np.ndarray) -> None:
    np.save(root / f"masks/{name}.npy", np.moveaxis(truth, 0, 2).astype(np.int64))


def as_archive(root: Path, name: str, truth: np.ndarray) -> None:
    np.savez_compressed(root / f"masks/{name}.npz", mask=truth, other=0)


Save = Callable[[Path, str, np.ndarray], None]


def dataset(root: Path, save: Save, number: int = 6) -> list[np.ndarray]:
    truths = [planes(seed) for seed in range(number)]
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for seed, truth in enumerate(truths):
        pixels = np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"images/{seed}.png")
        save(root, str(seed), truth)
    return truths
