"""The two sides of an adversarial game, as functions of the discriminator's logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def discriminator_loss(name: str, real: Tensor, fake: Tensor) -> Tensor:
    """Mean over real and generated images, scalar; `name` as in LossOptions, logits of any shape."""
    real, fake = real.float(), fake.float()
    if name == "hinge":
        return F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(name: str, fake: Tensor) -> Tensor:
    """Mean over generated images, scalar."""
    return -fake.float().mean() if name == "hinge" else F.softplus(-fake.float()).mean()


def gradient_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    """Half the mean squared gradient of the logits at real images, R1 of arXiv:1801.04406; scalar, fp32."""
    real = real.detach().float().requires_grad_(True)
    with torch.autocast(real.device.type, enabled=False):
        logits = discriminator(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return 0.5 * gradient.square().flatten(1).sum(1).mean()
