"""An exponential moving average of a model's weights, which is then validated and exported."""

from __future__ import annotations

import copy
from collections.abc import Iterator
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
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.model = _copied(model)
        """The averaged model: in eval mode, without gradients."""
        self.model.requires_grad_(False).eval()
        self._averaged = [_can_be_averaged(tensor) for tensor in _tensors(self.model)]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after one optimizer step."""
        averages: list[Tensor] = []
        currents: list[Tensor] = []
        for averaged, average, current in zip(
            self._averaged, _tensors(self.model), _tensors(model), strict=True
        ):
            if averaged:
                averages.append(average)
                currents.append(current.detach())
            else:
                average.copy_(current)
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        if averages:
            get_ema_multi_avg_fn(decay)(averages, currents, None)
        self.num_updates += 1

    def restart(self, model: nn.Module) -> None:
        """Restart the average from these weights."""
        self.model.load_state_dict(model.state_dict())
        self.num_updates = 0

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights (not copied) and the number of updates."""
        return {"num_updates": self.num_updates, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` gave.

        Raises:
            ValueError: parts of the state are missing or unknown.
            RuntimeError: names or shapes of the weights differ; it names them.
        """
        if set(state) != {"num_updates", "model"}:
            raise ValueError(
                f"state of the weight average has {sorted(state)}; it must have exactly model and num_updates"
            )
        self.model.load_state_dict(state["model"])
        self.num_updates = int(state["num_updates"])


def _copied(model: nn.Module) -> nn.Module:
    """A copy of the model.

    Raises:
        TypeError: a module cannot be copied; it is named.
    """
    try:
        return copy.deepcopy(model, _computed_tensors(model))
    except Exception as error:
        name, module = _not_copyable(model)
        where = f"its module {name} ({type(module).__name__})" if name else f"{type(module).__name__}"
        raise TypeError(
            f"trial.ema keeps a copy of the model, and {where} cannot be copied: {type(error).__name__}: "
            f"{error}; give it a __deepcopy__(), or leave out trial.ema"
        ) from error


def _computed_tensors(model: nn.Module) -> dict[int, Any]:
    """A memo for deepcopy, which refuses tensors that were computed from parameters, as weight_norm's are."""
    return {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in _flat(list(vars(module).values()))
        if not value.is_leaf
    }


def _flat(value: Any) -> Iterator[Tensor]:
    """The tensors in lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _flat(each)


def _not_copyable(model: nn.Module) -> tuple[str, nn.Module]:
    """Name and module of the innermost module that cannot be copied."""
    found = ("", model)
    for name, module in model.named_modules():
        try:
            copy.deepcopy(module, _computed_tensors(module))
        except Exception:
            found = (name, module)
    return found


def _tensors(model: nn.Module) -> list[Tensor]:
    """Parameters and buffers, each once even if modules share it."""
    return [*model.parameters(), *model.buffers()]


def _can_be_averaged(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return False
    return isinstance(tensor, nn.Parameter) or bool(torch.isfinite(tensor).all())
