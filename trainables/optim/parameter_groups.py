"""Which parameters share a learning rate and a weight decay: by layer, and by what kind they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

Layer = Sequence[nn.Module | nn.Parameter]
"""A layer has one learning rate: parameters, or modules with all of theirs."""

_UNDECAYED = (nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.EmbeddingBag)
"""Modules whose matrices are not decayed either; biases and the vectors of other normalizations never are."""


def parameter_groups(
    model: nn.Module, *, lr: float, weight_decay: float, layers: Sequence[Layer], layer_decay: float
) -> list[dict[str, Any]]:
    """Groups for torch.optim, none of them empty: layer by layer from the last one, decayed before undecayed.

    Raises:
        ValueError: the model has nothing to train, or, where `layer_decay` is below 1, a trainable parameter
            is in no layer or in two.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(
            f"model {type(model).__name__} has no trainable parameter; at least one must have requires_grad"
        )
    by_layer = [parameters] if layer_decay == 1.0 else _by_layer(model, layers, layer_decay)
    undecayed = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, _UNDECAYED)
        for parameter in module.parameters(recurse=False)
    }
    groups: list[dict[str, Any]] = []
    for distance, members in enumerate(reversed(by_layer)):
        decayed = [p for p in members if p.ndim >= 2 and id(p) not in undecayed]
        plain = [p for p in members if p.ndim < 2 or id(p) in undecayed]
        rate = lr * layer_decay**distance
        for some, decay in ((decayed, weight_decay), (plain, 0.0)):
            if some:
                groups.append({"params": some, "lr": rate, "weight_decay": decay})
    return groups


def _by_layer(model: nn.Module, layers: Sequence[Layer], layer_decay: float) -> list[list[nn.Parameter]]:
    """The trainable parameters of each layer, from input to head.

    Raises:
        ValueError: there are no layers, or they do not hold each of these parameters once.
    """
    if not layers:
        raise ValueError(
            f"layer_decay is {layer_decay:g}, but there are no layers of model {type(model).__name__}: "
            "give them, from input to head, in the task's layers(), or take layer_decay 1"
        )
    held = [list(_parameters(layer)) for layer in layers]
    times = Counter(id(parameter) for layer in held for parameter in layer)
    for number, rule in ((0, "no layer"), (2, "two layers")):
        wrong = [
            name
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and min(times[id(parameter)], 2) == number
        ]
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise ValueError(
                f"{', '.join(wrong[:3])}{more} of model {type(model).__name__} in {rule}; layers() must "
                "hold every trainable parameter exactly once"
            )
    return [[parameter for parameter in layer if parameter.requires_grad] for layer in held]


def _parameters(layer: Layer) -> Iterator[nn.Parameter]:
    for part in layer:
        yield from part.parameters() if isinstance(part, nn.Module) else (part,)
