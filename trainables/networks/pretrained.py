"""Pretrained weights: what fits is loaded, what does not is told."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainables.findings import a_type

_NESTED = ("state_dict", "model_state_dict", "model", "weights")
"""Under which checkpoints of training scripts hold a model's weights."""
_SHOWN = 4

Weights = Mapping[str, Tensor]


class Settings(Protocol):
    """The fields of `trainables.imported_options.WeightsOptions`."""

    @property
    def file(self) -> str: ...

    @property
    def strict(self) -> bool: ...


def load_pretrained(model: nn.Module, options: Settings) -> str:
    """Load the weights whose names and shapes are those of the model; returns a line of what fitted.

    A prefix that all names of the file have (`module.` of data parallel training, `model.` of Lightning) is
    left out where more fits without.

    Raises:
        ValueError: the file cannot be read, nothing in it fits, or, with `strict`, not everything.
    """
    own = model.state_dict()
    held = max(_without_prefixes(_read(options.file)), key=lambda some: len(_fitting(some, own)))
    fitting = _fitting(held, own)
    missing = [name for name in own if name not in held]
    unknown = [name for name in held if name not in own]
    others = [
        f"{name} {list(held[name].shape)} for {list(own[name].shape)}"
        for name in held
        if name in own and name not in fitting
    ]
    lists = {"of another shape": others, "not in it": missing, "not in the model": unknown}
    left = "".join(f"; {what}: {_listed(names)}" for what, names in lists.items() if names)
    if not fitting:
        raise ValueError(f"model.weights: nothing in {options.file} fits the model{left}")
    if options.strict and left:
        raise ValueError(f"model.weights: strict is true, and {options.file} does not fit{left}")
    model.load_state_dict(fitting, strict=False)
    return f"{options.file}: {len(fitting)} of {len(own)} weights loaded{left}"


def _read(path: str) -> Weights:
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        inside = file / "model.safetensors"
        hint = f"; in this folder there is {inside}" if inside.is_file() else ""
        raise ValueError(f"model.weights: there is no file {path}{hint}")
    try:
        found: Any = load_file(file) if file.suffix == ".safetensors" else _unpickled(file)
    except (OSError, SafetensorError, RuntimeError, EOFError) as error:
        raise ValueError(f"model.weights: {path} cannot be read: {str(error).splitlines()[0]}") from error
    while isinstance(found, Mapping) and not any(isinstance(value, Tensor) for value in found.values()):
        inner = next((found[key] for key in _NESTED if key in found), None)
        if inner is None:
            raise ValueError(
                f"model.weights: {path} holds no weights but {_listed(list(map(str, found)))}; save "
                "model.state_dict() alone"
            )
        found = inner
    if not isinstance(found, Mapping):
        raise ValueError(f"model.weights: {path} holds {a_type(found)}; save model.state_dict() instead")
    return {str(name): value for name, value in found.items() if isinstance(value, Tensor)}


def _unpickled(file: Path) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file leads to
        if "weights_only" not in str(error):
            raise RuntimeError(str(error) or type(error).__name__) from error
        raise RuntimeError(
            "it is no state dict of tensors alone, and code in it is not executed; save model.state_dict()"
        ) from error


def _without_prefixes(held: Weights) -> Iterator[Weights]:
    """The weights, and again without each of the prefixes that all names have."""
    yield held
    names = list(held)
    while names and all("." in name for name in names):
        first = names[0].partition(".")[0] + "."
        if not all(name.startswith(first) for name in names):
            return
        held = {name.removeprefix(first): value for name, value in held.items()}
        names = list(held)
        yield held


def _fitting(held: Weights, own: Weights) -> dict[str, Tensor]:
    return {name: value for name, value in held.items() if name in own and value.shape == own[name].shape}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
