"""Whether a task's validation data stay the same with another seed: values over seeds would not be paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np
import torch

from trainables.build import load_arrays
from trainables.data.source import as_source
from trainables.function.task import FunctionTask
from trainables.process.process_state import RandomStates, seed_everything
from trainables.task import Arrays, Task

_LOOKED_AT = 16
"""Samples that are compared, spread over the data."""


def other_validation(
    task_class: type[Task], options: Mapping[str, Any], seeds: Sequence[int], arrays: Arrays | None
) -> str:
    """How the validation data with the second seed differ from those with the first; empty if they do not.

    A training function reads its data itself: nothing is known of it.

    Args:
        options: of a trial.
        seeds: two of them.
        arrays: the loaded data; None loads it.
    """
    if issubclass(task_class, FunctionTask):
        return ""
    parsed = task_class.Options.parse(options)
    arrays = load_arrays(task_class, parsed) if arrays is None else arrays
    states = RandomStates()
    before = states.state_dict()
    try:
        one, other = (_samples(task_class, parsed.model_copy(update={"seed": s}), arrays) for s in seeds)
    finally:
        states.load_state_dict(before)
    if one[0] != other[0]:
        return f"{one[0]} samples with seed {seeds[0]}, {other[0]} with seed {seeds[1]}"
    alike = _equal(one[1], other[1])
    return "" if alike else f"other samples with seed {seeds[0]} than with seed {seeds[1]}"


def _samples(task_class: type[Task], options: Any, arrays: Arrays) -> tuple[int, Any]:
    """Number of the validation samples, and some of them."""
    seed_everything(options.seed)
    task = task_class(options, arrays)
    task.train_data()  # as a trial does, in which one split may be drawn for both
    source = as_source(task.valid_data(), "valid_data()")
    number = len(source)
    seed_everything(0)  # the samples are compared, not what is drawn while they are read
    places = np.unique(np.linspace(0, number - 1, min(number, _LOOKED_AT)).astype(np.int64))
    return number, source.batch(places, None)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor | np.ndarray):
        mine, others = np.asarray(one), np.asarray(other)
        return np.array_equal(mine, others, equal_nan=mine.dtype.kind in "fc")
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return _equal(vars(one), vars(other)) if is_dataclass(one) else bool(one == other)
