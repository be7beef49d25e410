"""Real digits, and the noise that generated ones come from."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

NUM_CLASSES = 10


def load_digit_images(seed: int) -> dict[str, np.ndarray]:
    """The 1,797 digits of scikit-learn (8x8), four fifths for training and the rest held out.

    Returns:
        `train_images` and `valid_images`: float32 [N, 1, 8, 8] in -1..1; `train_labels` and `valid_labels`:
        int64 [N].
    """
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 1, 8, 8) / 8.0 - 1.0).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(images))
    cut = len(images) * 4 // 5
    arrays = {}
    for part, chosen in (("train", order[:cut]), ("valid", order[cut:])):
        arrays[f"{part}_images"] = images[chosen]
        arrays[f"{part}_labels"] = labels[chosen].astype(np.int64)
    return arrays


class NoisySource:
    """Images, each with noise for the discriminator's step and noise for the generator's.

    The noise is a function of the sample's number in the stream, as augmentation is elsewhere. A batch is
    (images [N, C, H, W], latents [N, latent_size], latents [N, latent_size]), all float32.
    """

    def __init__(self, images: np.ndarray, latent_size: int) -> None:
        self.num_randoms = 2 * latent_size
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[Tensor, ...]:
        if randoms is None:
            raise ValueError("a batch of images and noise is for training; validation has noise of its own")
        first, second = _normal(randoms)
        images = self._images[indices]
        return torch.from_numpy(images), torch.from_numpy(first), torch.from_numpy(second)


def _normal(uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two independent standard normals [N, n] of uniforms [N, 2n] in [0, 1).

    Box and Muller 1958, doi:10.1214/aoms/1177706645.
    """
    half = uniform.shape[1] // 2
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, :half]))
    angle = 2.0 * np.pi * uniform[:, half:]
    return (radius * np.cos(angle)).astype(np.float32), (radius * np.sin(angle)).astype(np.float32)
