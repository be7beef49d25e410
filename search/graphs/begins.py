"""Where a graph begins to differ from its model: the first layer with another output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from search.graphs.capture import Graph
from search.graphs.loaded import Loaded

TOLERANCE = 1e-3
"""Largest difference of two outputs, by the largest of the expected values: float32 sums in another order."""
_PREFIX = "model."
"""Of the model's layers in a `Graph`."""


def difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference, by the largest of the expected values; infinite for other shapes or NaN."""
    return max(_difference(one, other) for one, other in zip(found, expected, strict=True))


def where_it_begins(graph: Graph, loaded: Loaded, tensors: Sequence[Tensor]) -> str:
    """`from layer down.0.1 on`, or why no layer can be named."""
    outputs = _outputs_by_layer(graph, tensors)
    try:
        steps = list(loaded.steps(tensors))
    except Exception:  # of a runtime that does not get that far
        return "in which layer cannot be told, as the graph does not run step by step"
    last = {path: place for place, (stack, _) in enumerate(steps) for path in stack}
    ends: dict[int, list[str]] = {}
    for path, place in last.items():
        ends.setdefault(place, []).append(path)
    compared = 0
    for place in sorted(ends):
        for path in sorted(ends[place], key=len, reverse=True):
            expected, found = outputs.get(path), steps[place][1]
            if expected is None or expected.shape != found.shape:
                continue
            compared += 1
            if _difference(found, expected) > TOLERANCE:
                return f"from layer {path.removeprefix(_PREFIX)} on"
    if not compared:
        return "in which layer cannot be told, as the graph does not keep them apart"
    return (
        "though not in the outputs of its layers for the first validation samples: it is in what happens "
        "between them, or in what a graph cannot follow, such as a state that changes with each call"
    )


def _outputs_by_layer(graph: Graph, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    """What each module of the model itself returns; of one that is called again, the last."""
    found: dict[str, Tensor] = {}
    hooks = []
    for path, module in graph.named_modules():

        def note(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            if isinstance(output, Tensor):
                found[path] = output.detach().clone()  # the next layer may work in place

        if path:
            hooks.append(module.register_forward_hook(note))
    try:
        with torch.no_grad():
            graph(*tensors)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _difference(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if not expected.numel():
        return 0.0
    off = (found.double() - expected.double()).abs().max()
    scale = expected.double().abs().max().clamp_min(1e-6)
    share = float(off / scale)
    return share if share == share else float("inf")
