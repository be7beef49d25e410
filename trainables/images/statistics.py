"""How often each value is in images and masks, added up image by image, and what follows for inputs."""

from __future__ import annotations

import numpy as np
from PIL import Image

LEAST_STD = 1.0 / 255.0
LEVELS = np.arange(256, dtype=np.float64)


def value_counts(labels: np.ndarray) -> dict[int, int]:
    """How often each value is in uint8 [H, W]."""
    # Pillow counts without the copy to int64 that np.bincount needs.
    counts = Image.fromarray(labels).histogram()
    return {value: count for value, count in enumerate(counts) if count}


def pixel_sums(images: np.ndarray) -> np.ndarray:
    """Number, sum and sum of squares of uint8 [..., W, C], by channel: float64 [3, C], exact."""
    rows = images.reshape(-1, *images.shape[-2:])
    planes = [rows] if rows.shape[-1] == 3 else [rows[..., channel] for channel in range(rows.shape[-1])]
    histograms = [Image.fromarray(np.ascontiguousarray(plane)).histogram() for plane in planes]
    counts = np.array(histograms, np.float64).reshape(-1, 256)
    return np.stack([counts.sum(axis=1), counts @ LEVELS, counts @ LEVELS**2])


def mean_and_std(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [C] each, 1 being the value 255; a channel without variation gets a deviation of one level."""
    number, first, second = sums
    mean = first / number
    variance = np.maximum(second / number - mean**2, 0.0)
    std = np.maximum(np.sqrt(variance) / 255.0, LEAST_STD)
    return (mean / 255.0).astype(np.float32), std.astype(np.float32)


def standardized(images: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """`(x / 255 - mean) / std` of uint8 [..., C]: float32; `mean` and `std` are float32 [C]."""
    factors = 1.0 / std
    return images * (factors / 255.0).astype(np.float32) + (-mean * factors).astype(np.float32)
