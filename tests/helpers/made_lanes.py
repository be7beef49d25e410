"""The data of the task that docs/custom_task.md shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_lanes(path: Path) -> None:
    """600 images of 32x32 with one bright, slightly slanted lane each."""
    rng = np.random.default_rng(0)
    lanes = rng.uniform(6, 26, 600)
    rows, columns = np.mgrid[:32, :32]
    centre = lanes[:, None, None] + rng.uniform(-0.2, 0.2, 600)[:, None, None] * (rows - 16)
    light = 200 * np.exp(-((columns - centre) ** 2) / 4) + rng.uniform(0, 50, (600, 32, 32))
    np.savez(path, images=light.astype(np.uint8), lanes=lanes)
