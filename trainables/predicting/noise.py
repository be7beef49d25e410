"""The noise that a generator makes images from."""

from __future__ import annotations

import numpy as np


def fixed_latents(num_samples: int, latent_size: int, seed: int) -> np.ndarray:
    """Standard normal noise, float32 [num_samples, latent_size]."""
    return np.random.default_rng(seed).standard_normal((num_samples, latent_size), dtype=np.float32)
