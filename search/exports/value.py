"""Whether an objective that was computed again is the one before, as far as arithmetic allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from search.errors import SearchError
from trainables.function.trainer import FunctionTrainer
from trainables.training.trainer import Trainer

# The value is the same on the same device and versions; another device sums in another order. A model that
# was measured in bf16 or fp16 decides otherwise where two classes are nearly alike.
SAME_ARITHMETIC, OTHER_ARITHMETIC = 1e-3, 3e-2
GRAPH_ARITHMETIC = ("cpu", "fp32")
"""Device and precision that graphs are computed with."""


def tolerance(same_arithmetic: bool) -> float:
    """The share by which a value may differ."""
    return SAME_ARITHMETIC if same_arithmetic else OTHER_ARITHMETIC


def is_close(expected: float, found: float, same_arithmetic: bool) -> bool:
    """Whether two values of an objective are equal but for rounding; NaN never is."""
    return math.isclose(expected, found, rel_tol=tolerance(same_arithmetic), abs_tol=1e-6)


def arithmetic(trainer: Trainer | FunctionTrainer) -> tuple[str, str]:
    """Device and precision that it validates with."""
    return trainer.device.type, trainer.precision_name


def check_value(
    info: Mapping[str, Any],
    record: Mapping[str, Any],
    metrics: Mapping[str, float],
    trainer: Trainer | FunctionTrainer,
) -> None:
    """Check that the written weights give what was recorded.

    Args:
        info: of the checkpoint.
        record: of its virtual epoch.
        metrics: of the written weights.

    Raises:
        SearchError: they do not.
    """
    expected, found = record[info["metric"]], metrics[info["metric"]]
    here = arithmetic(trainer)
    there = (info.get("device", here[0]), info.get("precision", here[1]))
    if not is_close(expected, found, here == there):
        other = f" on {there[0]} in {there[1]}, evaluated here on {here[0]} in {here[1]}"
        how = "" if here == there else other
        raise SearchError(
            f"the exported weights give {info['metric']} {found:.6g} and {expected:.6g} was recorded{how}; "
            "nothing was exported. Have the data, the task's code or a library changed since?"
        )
