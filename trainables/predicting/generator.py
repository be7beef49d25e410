"""The generator of a GAN: images of noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from trainables.predicting.model import ExportedModel
from trainables.predicting.noise import fixed_latents


class Generator(ExportedModel):
    """Makes images from -1 to 1, [N, H, W, 1]."""

    def predict(self, latents: Any) -> np.ndarray:
        """Images float32 [N, H, W, 1] of noise [N, latent_size], which is standard normal.

        Raises:
            ValueError: the noise has another shape.
        """
        noise, array = self.inference.noise, np.asarray(latents, np.float32)
        assert noise is not None
        if array.ndim != 2 or array.shape[1] != noise.latent_size:
            raise ValueError(f"received an array {list(array.shape)}; noise must be [N, {noise.latent_size}]")
        return self.outputs(torch.from_numpy(array), noise.image).float().permute(0, 2, 3, 1).cpu().numpy()

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Images float32 [count, H, W, 1]; the first ones are the same whatever the count."""
        assert self.inference.noise is not None
        return self.predict(fixed_latents(count, self.inference.noise.latent_size, seed))
