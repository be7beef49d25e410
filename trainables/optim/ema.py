"""An exponential moving average of a model's weights, which is then what is validated and exported."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """Averages weights over the optimizer steps (Polyak and Juditsky 1992, doi:10.1137/0330046).

    Floating-point and complex parameters and buffers are averaged; other buffers, and buffers that hold
    an infinity or NaN at the start (attention masks), are copied. The decay rises with the number of
    updates n that came before, min(decay, (1 + n) / (10 + n)), so that the first weights, drawn at
    random, are soon forgotten.

    Args:
        model: on its device; not changed. It may be compiled in place (`model.compile()`): the copy runs
            eagerly.
        decay: in (0, 1), for example 0.999.

    Raises:
        ValueError: for a decay out of range.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise ValueError(f"decay is {decay}; it must be above 0 and below 1, such as 0.999")
        self.decay = decay
        self.num_updates = 0
        self.model = copy.deepcopy(model)
        """The averaged model: in eval mode, without gradients."""
        self.model.requires_grad_(False).eval()
        self._averaged = [_can_be_averaged(tensor) for tensor in _tensors(self.model)]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after one optimizer step."""
        pairs = list(zip(self._averaged, _tensors(self.model), _tensors(model), strict=True))
        averages = [average for averaged, average, _ in pairs if averaged]
        currents = [current.detach() for averaged, _, current in pairs if averaged]
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        if averages:
            get_ema_multi_avg_fn(decay)(averages, currents, None)
        for averaged, average, current in pairs:
            if not averaged:
                average.copy_(current)
        self.num_updates += 1

    def restart(self, model: nn.Module) -> None:
        """Forget the average so far and begin anew from these weights."""
        self.model.load_state_dict(model.state_dict())
        self.num_updates = 0

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights (not copied) and the number of updates."""
        return {"num_updates": self.num_updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            ValueError: if parts of the state are missing or unknown.
            RuntimeError: if names or shapes of the weights differ, naming them.
        """
        missing = {"num_updates", "model"} - set(state)
        unknown = set(state) - {"num_updates", "model"}
        if missing or unknown:
            raise ValueError(
                f"state of the weight average lacks {sorted(missing)} and has unknown {sorted(unknown)}; "
                "it must have exactly num_updates and model"
            )
        self.model.load_state_dict(state["model"])
        self.num_updates = int(state["num_updates"])


def _tensors(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers, each once even if modules share it."""
    return [*model.parameters(), *model.buffers()]


def _can_be_averaged(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return False
    return isinstance(tensor, nn.Parameter) or bool(torch.isfinite(tensor).all())
