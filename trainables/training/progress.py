"""The losses of the steps of one virtual epoch, and whether the training has diverged."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class DivergedError(Exception):
    """A loss or gradient norm that is not finite, of the model or of what `of` names beside it."""

    def __init__(self, step: int, loss: float, grad_norm: float, of: str = "") -> None:
        whose = f" of the {of}" if of else ""
        super().__init__(f"step {step}: loss {loss:g}, gradient norm {grad_norm:g}{whose}")
        self.step, self.loss, self.grad_norm = step, loss, grad_norm


class Progress:
    """Losses of one virtual epoch, and the first step that was not finite.

    On a CPU looking at a value costs nothing, and a diverged trial ends at once. On another device the values
    stay there until the virtual epoch ends, and the host waits for none of them.
    """

    def __init__(self, device: torch.device) -> None:
        self._look_at_once = device.type == "cpu"
        self._loss_sum = 0.0
        self._weights: list[float] = []
        self._kept: dict[str, _KeptSteps] = {}

    def add(self, step: int, loss: Tensor, grad_norm: Tensor, weight: float = 1.0) -> None:
        """Add one step of the model; `weight` is how much its loss counts in the mean."""
        self.watch(step, "", loss, grad_norm)
        self._weights.append(weight)
        if self._look_at_once:
            self._loss_sum += weight * loss.item()

    def watch(self, step: int, of: str, loss: Tensor, grad_norm: Tensor) -> None:
        """Check that these are finite; on a CPU, raises DivergedError if not."""
        if not self._look_at_once:
            self._kept.setdefault(of, _KeptSteps()).add(step, loss, grad_norm)
        elif not (math.isfinite(loss.item()) and math.isfinite(grad_norm.item())):
            raise DivergedError(step, float(loss), float(grad_norm), of)

    def raise_if_diverged(self) -> None:
        """Raise DivergedError for the first non-finite step."""
        found = [(*bad, of) for of, kept in self._kept.items() if (bad := kept.first_bad()) is not None]
        if found:
            # Within one step, the first to be watched.
            step, loss, grad_norm, of = min(found, key=lambda entry: entry[0])
            raise DivergedError(step, loss, grad_norm, of)

    def mean_loss(self) -> float:
        """The weighted mean over the steps so far, at least one."""
        own = self._kept.get("")
        loss_sum = self._loss_sum if own is None else own.loss_sum(self._weights)
        return loss_sum / sum(self._weights)


class _KeptSteps:
    """Loss and gradient norm of every step, on the device until they are read."""

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._pending: list[Tensor] = []
        self._packed: list[Tensor] = []

    def add(self, step: int, loss: Tensor, grad_norm: Tensor) -> None:
        self._steps.append(step)
        self._pending += [loss, grad_norm]
        # A scalar tensor takes half a kilobyte of a GPU.
        if len(self._pending) >= 1024:
            self._pack()

    def first_bad(self) -> tuple[int, float, float] | None:
        """Step, loss and gradient norm of the first step where these are not finite."""
        values = self._on_host()
        bad = (~torch.isfinite(values).all(dim=1)).nonzero()
        if not len(bad):
            return None
        first = int(bad[0])
        loss, grad_norm = values[first].tolist()
        return self._steps[first], loss, grad_norm

    def loss_sum(self, weights: list[float]) -> float:
        """The sum over the steps, each times its weight."""
        return float((self._on_host()[:, 0] * torch.tensor(weights, dtype=torch.float64)).sum())

    def _pack(self) -> None:
        self._packed.append(torch.stack([value.float() for value in self._pending]).view(-1, 2))
        self._pending = []

    def _on_host(self) -> Tensor:
        """Loss and gradient norm of every step: float64 [steps, 2]."""
        if self._pending:
            self._pack()
        self._packed = [torch.cat([part.cpu() for part in self._packed])]
        return self._packed[0].double()
