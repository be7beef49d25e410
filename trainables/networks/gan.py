"""Generator and discriminator for 8x8 digits, of layers that torch has."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

_SLOPE = 0.2
"""Slope of the leaky ReLU below 0, as in DCGAN (arXiv:1511.06434)."""


def build_generator(name: str, *, latent_size: int, width: int) -> nn.Sequential:
    """Generator from latents [N, latent_size] to images [N, 1, 8, 8] in -1..1, by nearest-neighbour steps."""
    if name == "mlp":
        hidden = 8 * width
        return nn.Sequential(
            nn.Linear(latent_size, hidden),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(hidden, 64),
            nn.Tanh(),
            nn.Unflatten(1, (1, 8, 8)),
        )
    return nn.Sequential(
        nn.Linear(latent_size, 16 * width),
        nn.Unflatten(1, (4 * width, 2, 2)),
        nn.LeakyReLU(_SLOPE),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4 * width, 2 * width, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(2 * width, width, 3, padding=1),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(width, 1, 3, padding=1),
        nn.Tanh(),
    )


def build_discriminator(name: str, *, width: int, normalized: bool) -> nn.Sequential:
    """Discriminator from images [N, 1, 8, 8] to logits [N, 1], high for real ones.

    Args:
        normalized: hold each layer to a spectral norm of 1 (arXiv:1802.05957).
    """
    layers: list[nn.Module]
    if name == "mlp":
        hidden = 8 * width
        layers = [nn.Flatten(), nn.Linear(64, hidden), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Linear(hidden, hidden), nn.LeakyReLU(_SLOPE), nn.Linear(hidden, 1)]
    else:
        layers = [nn.Conv2d(1, width, 3, padding=1), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Flatten(), nn.Linear(16 * width, 1)]
    if normalized:
        layers = [spectral_norm(layer) if hasattr(layer, "weight") else layer for layer in layers]
    return nn.Sequential(*layers)
