"""What a task gives the trainer as numbers: its loss and its metrics, checked."""

from __future__ import annotations

import math
import numbers as kinds
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from trainables.findings import a_type

OF_THE_TRAINER = ("valid_loss", "train_loss", "lr", "samples_per_second", "epoch")
"""What the trainer reports itself beside the metrics of the task."""

OF_A_REPORT = (
    "virtual_epoch",
    "step",
    "samples",
    "seconds",
    "measured",
    "diverged",
    "ended",
    "process",
    "saved",
    "message",
)
"""What else is in a report."""

_RESERVED = frozenset({*OF_THE_TRAINER, *OF_A_REPORT})


_last: list[Any] = []
"""A reference to what gathered the metrics of the last validation in this process."""


def begun(metrics: Any) -> Any:
    """What a task's `metrics()` returned, without anything of an earlier validation.

    Raises:
        TypeError: it cannot gather metrics, or is the object of the last validation and has no reset().
    """
    methods = (getattr(metrics, name, None) for name in ("update", "compute"))
    if isinstance(metrics, type) or not all(map(callable, methods)):
        raise TypeError(
            f"metrics() returned {_shown(metrics)}; it must return a new object with update(outputs, batch) "
            "and compute()"
        )
    if any(reference() is metrics for reference in _last):
        if not callable(getattr(metrics, "reset", None)):
            raise TypeError(
                f"metrics() returned the {type(metrics).__name__} of the validation before, with what "
                "that has added up; it must return a new object each time, or one with reset()"
            )
        metrics.reset()
    with suppress(TypeError):  # of a class whose objects have none
        _last[:] = [weakref.ref(metrics)]
    return metrics


def numbers(metrics: Any) -> dict[str, float]:
    """The metrics of a task as floats.

    Raises:
        TypeError: they are no mapping, or one is no number.
        ValueError: a name is not a metric's to have.
    """
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"compute() of what metrics() returns gave {_shown(metrics)}; it must return numbers by their "
            'names, such as {"accuracy": 0.9}'
        )
    for name in metrics:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ValueError(f"a metric is named {name!r}; a name must be printable text")
    taken = [name for name in metrics if name in _RESERVED or name.startswith("best/")]
    if taken:
        raise ValueError(
            f"the task reports {', '.join(taken)}, which the trainer reports itself; give the metric another "
            f"name, such as my_{taken[0].replace('/', '_')}"
        )
    return {name: _number(name, value) for name, value in metrics.items()}


def check_loss(loss: Any, weight: Tensor | float) -> None:
    """Raise unless the loss is one number, or has the shape of its weight (see `Task.loss`)."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"loss() returned {_shown(loss)}; it must return a tensor, the mean over the batch")
    if loss.numel() != 1 and not (isinstance(weight, Tensor) and weight.shape == loss.shape):
        raise ValueError(
            f"loss() returned the shape {list(loss.shape)}; it must return the mean over the batch, a "
            "scalar: loss.mean(), or reduction='mean'"
        )


def _number(name: str, value: Any) -> float:
    if isinstance(value, Tensor) or (hasattr(value, "item") and hasattr(value, "shape")):
        if math.prod(value.shape) != 1:
            raise TypeError(
                f"the metric {name!r} is {_shown(value)}; it must be one number: report its mean, or one "
                f"metric per entry, such as {name}/0"
            )
        value = value.item()
    if not isinstance(value, kinds.Real):
        raise TypeError(f"the metric {name!r} is {_shown(value)}; it must be a number")
    return float(value)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor) or hasattr(value, "shape"):
        kind = "a tensor" if isinstance(value, torch.Tensor) else a_type(value)
        return f"{kind} of shape {list(value.shape)}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({a_type(value)})"
