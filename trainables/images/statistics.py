"""Mean and deviation of the pixels of many images, added up image by image."""

from __future__ import annotations

import numpy as np

LEAST_STD = 1.0 / 255.0


def pixel_sums(images: np.ndarray) -> np.ndarray:
    """Number, sum and sum of squares of uint8 [..., C], by channel: float64 [3, C], exact."""
    by_channel = images.reshape(-1, images.shape[-1])
    levels = np.arange(256, dtype=np.float64)
    counts = [np.bincount(values, minlength=256) for values in by_channel.T]
    return np.array([[count.sum(), count @ levels, count @ levels**2] for count in counts]).T


def mean_and_std(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [C] each, 1 being the value 255; a channel without variation gets a deviation of one level."""
    number, first, second = sums
    mean = first / number
    variance = np.maximum(second / number - mean**2, 0.0)
    std = np.maximum(np.sqrt(variance) / 255.0, LEAST_STD)
    return (mean / 255.0).astype(np.float32), std.astype(np.float32)
