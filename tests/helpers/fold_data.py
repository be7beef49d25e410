"""Small data in which samples belong to groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mask_folders import write as write_pair
from PIL import Image


def mask_folder(root: Path, patients: int = 6, slices: int = 5) -> Path:
    for patient in range(patients):
        for number in range(slices):
            write_pair(root, f"patient{patient:02}_{number}", 10 * patient + number)
    return root


def class_folder(root: Path, number: int = 12) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for each in range(number):
            Image.fromarray(rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)).save(
                root / name / f"{each}.png"
            )
    return root


def table(folder: Path, rows: int = 60) -> Path:
    rng = np.random.default_rng(0)
    lines = [
        f"p{row % 12},{rng.normal():.3f},{rng.normal():.3f},{'ill' if row % 3 else 'well'}"
        for row in range(rows)
    ]
    file = folder / "table.csv"
    file.write_text("\n".join(["patient,a,b,kind", *lines]) + "\n")
    return file
