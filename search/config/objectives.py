"""What goes with several objectives, and what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from search.config.schema import Objective, Pbt, Sections, StageSections
from search.config.sections.limits import memory_problem
from search.errors import KeyPath, Problem
from search.text import shown
from trainables.options import MEASURED

_WINDOWS = 5
_LONGEST_WINDOW = 10
"""A mean of ten has a third of the noise of one report; a longer one lags behind."""


def measured_names(sections: StageSections) -> tuple[str, ...]:
    """What is measured of a trial's model: what is limited, and objectives that no training reports."""
    of_objectives = {objective.metric for objective in sections.objectives or ()}
    limited = () if sections.limits is None else sections.limits.names
    return tuple(name for name in MEASURED if name in of_objectives or name in limited)


def reported(sections: StageSections) -> list[Objective]:
    """The objectives that are reported with each virtual epoch, the first one first."""
    if sections.objectives is None:
        return [sections.objective]
    return [objective for objective in sections.objectives if objective.metric not in MEASURED]


def window_of(sections: StageSections) -> int:
    """`objective.window`, or what it is where none is given; never more than a trial has reports."""
    if sections.objectives is not None or isinstance(sections.scheduler, Pbt):
        return 1
    length = sections.budget.max_virtual_epochs
    given = sections.objective.window or min(_LONGEST_WINDOW, max(1, round(length / _WINDOWS)))
    # A trial whose plateau ended it has come to its end, and is to be compared with all others.
    ending = length if sections.plateau is None else sections.plateau.patience + 1
    return min(given, length, ending)


def without_null(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The values without `objective: null` beside `objectives`, or the reverse: so a base's is taken out."""
    pairs = (("objective", "objectives"), ("objectives", "objective"))
    unset = {key for key, other in pairs if tree.get(other) is not None}
    return {key: value for key, value in tree.items() if value is not None or key not in unset}


def hint_of_one(path: KeyPath, value: Any) -> str:
    """The way out where `objectives` has fewer than two."""
    few = path == ("objectives",) and isinstance(value, list) and len(value) < 2
    return "; one alone is given as `objective:`" if few else ""


def objectives_problems(sections: Sections, tree: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with `objectives`; what they do not go with is in the table of combinations."""
    several = sections.objectives
    if several is None:
        return
    if "objective" in tree:
        message = "remove one of them, or set it to null where a base has it, such as `objective: null`"
        yield Problem.of(("objective",), f"is given beside objectives; {message}")
    names = [objective.metric for objective in several]
    for index, objective in enumerate(several):
        path = ("objectives", index, "metric")
        if objective.metric in names[:index]:
            yield Problem.of(path, f"received {shown(objective.metric)} again; each objective once")
        if objective.metric in MEASURED and objective.mode == "max":
            message = "must be min, since more of it is no aim"
            yield Problem.of(
                ("objectives", index, "mode"), f"received 'max' for {objective.metric}; {message}"
            )
        if objective.metric == "memory":
            yield from memory_problem(path, "'memory'", sections.resources.fewest_gpus)
    if names[0] in MEASURED:
        message = (
            "must be reported by the task: the first one chooses the virtual epoch that a trial counts with"
        )
        yield Problem.of(("objectives", 0, "metric"), f"received {shown(names[0])}; the first {message}")
