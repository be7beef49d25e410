"""The number format of the forward pass, and the loss scaling that it needs."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from trainables.process.patches import tensor_norms

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Mixed precision for one device (arXiv:1710.03740): weights stay in fp32, the forward pass may not.

    Args:
        name: auto, fp32, bf16 or fp16. auto is bf16 on a GPU that has it, fp16 on an older one, and fp32
            on any other device.
        device: where the model is.

    Raises:
        ValueError: for fp16 on a CPU.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "fp16" and device.type == "cpu":
            raise ValueError("precision is fp16 on a CPU, which is slow and overflows; use bf16 or fp32")
        self.name = _best(device) if name == "auto" else name
        """fp32, bf16 or fp16."""
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "fp16")
        """Scales the loss so that small fp16 gradients do not vanish; passes everything on otherwise."""

    def autocast(self) -> AbstractContextManager[object]:
        """A context manager for forward pass and loss."""
        dtype = _DTYPES[self.name]
        if dtype is None and not torch.is_autocast_enabled(self.device.type):
            return nullcontext()
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def step(self, optimizer: torch.optim.Optimizer, clip_norm: float | None) -> Tensor:
        """One step from the accumulated gradients; clears them and returns their norm before clipping."""
        all_parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        parameters = [parameter for parameter in all_parameters if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters]
        if self.scaler.is_enabled():
            grad_norm = self._scaled_step(optimizer, parameters, gradients, clip_norm)
        else:
            grad_norm = _clipped(parameters, gradients, clip_norm)
            optimizer.step()
        for parameter in parameters:
            parameter.grad = None
        return grad_norm

    def _scaled_step(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: list[Tensor],
        gradients: list[Tensor],
        clip_norm: float | None,
    ) -> Tensor:
        self.scaler.unscale_(optimizer)
        grad_norm = _clipped(parameters, gradients, clip_norm)
        scale = self.scaler.scale(torch.ones_like(grad_norm))
        self.scaler.step(optimizer)
        self.scaler.update()
        # An infinite gradient of a scaled-up loss is an ordinary event: no step, and half the scale next.
        return torch.where(scale > 1.0, torch.zeros_like(grad_norm), grad_norm)


def _clipped(parameters: list[Tensor], gradients: list[Tensor], clip_norm: float | None) -> Tensor:
    """The norm of the gradients, which are scaled down where it is above `clip_norm`."""
    if clip_norm is None and gradients and gradients[0].is_cpu:
        # As `get_total_norm` does it, without sorting by device and type: that costs a small model more.
        return torch.tensor(math.hypot(*[norm.item() for norm in tensor_norms(gradients)]))
    grad_norm = nn.utils.get_total_norm(gradients)
    if clip_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, clip_norm, grad_norm)
    return grad_norm


def _best(device: torch.device) -> str:
    if device.type != "cuda":
        return "fp32"
    with torch.cuda.device(device):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
