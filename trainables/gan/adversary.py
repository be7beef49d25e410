"""The discriminator of a GAN with all that trains it, and the losses of both players."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.gan.options import LossOptions
from trainables.optim.lr_schedules import set_lr
from trainables.optim.precision import Precision


class Adversary:
    """A discriminator that takes steps of its own; between them it is frozen and in eval mode.

    Args:
        discriminator: on its device, images to logits.
        optimizer: of the discriminator's parameters; its groups carry `initial_lr`.
        precision: with a scaler of the discriminator's own.
        clip_norm: largest norm of the gradient, or None.
    """

    def __init__(
        self,
        discriminator: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: LossOptions,
        *,
        precision: Precision,
        clip_norm: float | None,
    ) -> None:
        self.discriminator = discriminator
        self.optimizer = optimizer
        self._loss = loss
        self._precision = precision
        self._clip_norm = clip_norm
        self._freeze(True)

    def step(
        self, reals: Sequence[Tensor], fakes: Sequence[Tensor], lr_factor: float
    ) -> tuple[Tensor, Tensor]:
        """One optimizer step from micro-batches of real and generated images; loss and gradient norm."""
        self._freeze(False)
        total = sum(len(real) for real in reals)
        step_loss = torch.zeros((), device=reals[0].device)
        for real, fake in zip(reals, fakes, strict=True):
            loss = self._mean_loss(real, fake.detach()) * (len(real) / total)
            self._precision.scaler.scale(loss).backward()
            step_loss += loss.detach()
        set_lr(self.optimizer, lr_factor)
        grad_norm = self._precision.step(self.optimizer, self._clip_norm)
        self._freeze(True)
        return step_loss, grad_norm

    def state_dict(self) -> dict[str, Any]:
        """The state of the discriminator, its optimizer and its scaler."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises:
            ValueError: parts of the state are missing or unknown.
        """
        parts = self._parts()
        if set(parts) != set(state):
            raise ValueError(f"state of a GAN has {sorted(state)}; it must have exactly {sorted(parts)}")
        for name, part in parts.items():
            # A scaler saved where none was needed has no state: this one starts afresh.
            if name != "scaler" or state[name]:
                part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        scaler = self._precision.scaler
        return {"discriminator": self.discriminator, "optimizer": self.optimizer, "scaler": scaler}

    def _mean_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        with self._precision.autocast():
            loss = discriminator_loss(self._loss.name, self.discriminator(real), self.discriminator(fake))
        r1 = self._loss.r1
        return loss + r1 * gradient_penalty(self.discriminator, real) if r1 else loss

    def _freeze(self, frozen: bool) -> None:
        # In eval mode a spectral norm stays as the last step has left it.
        self.discriminator.requires_grad_(not frozen).train(not frozen)


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
