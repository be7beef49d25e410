"""Images that a generator makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.files import atomic_file
from trainables.pictures import image_grid
from trainables.predicting.generator import Generator
from trainables.predicting.noise import fixed_latents

GRID = "grid.png"
SAMPLES = "samples"
_COLUMNS, _ROWS = 20, 20
"""Of the grid, at most."""


def sample(
    model: Generator, count: int, seed: int, out: Path, progress: Callable[[int, int], None]
) -> tuple[int, int]:
    """Write so many samples and a grid of the first ones; those that are there are not made again.

    Returns:
        How many were written, and how many were there.
    """
    noise = model.inference.noise
    assert noise is not None
    (out / SAMPLES).mkdir(exist_ok=True)
    latents = fixed_latents(count, noise.latent_size, seed)
    todo = [number for number in range(count) if not _file(out, number).is_file()]
    for first in range(0, len(todo), model.batch_size):
        numbers = todo[first : first + model.batch_size]
        for number, image in zip(numbers, model.predict(latents[numbers]), strict=True):
            with atomic_file(_file(out, number)) as partial:
                Image.fromarray(eight_bits(image)).save(partial, format="PNG")
        progress(count - len(todo) + first + len(numbers), count)
    shown = model.predict(latents[: _COLUMNS * _ROWS]).transpose(0, 3, 1, 2)
    columns = min(_COLUMNS, int(np.ceil(np.sqrt(len(shown)))))
    with atomic_file(out / GRID) as partial:
        Image.fromarray(image_grid(shown, columns)).save(partial, format="PNG")
    return len(todo), count - len(todo)


def eight_bits(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of an image [H, W, 1] from -1 to 1."""
    return ((image[..., 0] + 1.0) * 127.5).clip(0.0, 255.0).round().astype(np.uint8)


def _file(out: Path, number: int) -> Path:
    return out / SAMPLES / f"{number:06d}.png"
