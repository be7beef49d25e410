"""What a model of the user's own must be, so that a trial trains all of it, and from its beginning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from trainables.findings import a_type

_TRAINED = "_in_a_trial"
"""Set on parameters that a trial in this process has."""


def check_model(model: Any) -> nn.Module:
    """The model that `build_model()` of a task has returned.

    Raises:
        TypeError: it is none.
        ValueError: it has layers that would not be trained.
    """
    if not isinstance(model, nn.Module):
        what = "nothing: its `return` may be missing" if model is None else a_type(model)
        raise TypeError(f"build_model() returned {what}; it must return a torch.nn.Module")
    for name, value in _hidden(model):
        kind = "nn.ModuleDict" if isinstance(value, dict) else "nn.ModuleList"
        raise ValueError(
            f"{name} of the model is {a_type(value)} of layers, whose weights torch neither trains "
            f"nor saves: make it an {kind}, or call requires_grad_(False) on layers that need no training"
        )
    return model


def begin_with(model: nn.Module) -> None:
    """Take note of the weights with which a trial begins.

    Raises:
        ValueError: some are those of a trial before.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, parameter in trained.items():
        if hasattr(parameter, _TRAINED):
            raise ValueError(
                f"build_model() returned a model with weights of the trial before ({name}): make them in "
                "build_model(), or use copy.deepcopy() of what is made once"
            )
    for parameter in trained.values():
        setattr(parameter, _TRAINED, True)


def _hidden(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and values of lists, tuples and dicts of layers to train that are none of the model's."""
    known = {id(parameter) for parameter in model.parameters()}
    for module in model.modules():
        for attribute, value in vars(module).items():
            if attribute.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            parts = value.values() if isinstance(value, dict) else value
            layers = (part for part in parts if isinstance(part, nn.Module))
            weights = (weight for layer in layers for weight in layer.parameters())
            if any(weight.requires_grad and id(weight) not in known for weight in weights):
                yield f"{type(module).__name__}.{attribute}", value
