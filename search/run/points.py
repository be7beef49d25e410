"""Points to evaluate: parameters that new trials take before the sampler gives any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.config.config import Config
from search.study.trial import TrialRecord

Point = Mapping[str, Any]
"""Some or all of a trial's parameters."""


def untried(config: Config, records: Sequence[TrialRecord]) -> Iterator[Point]:
    """The points of the grid, or of `points_to_evaluate`, that no trial has taken, in order; equal ones once.

    A trial has taken the point that was given to it, and one that has all of its parameters by chance.
    """
    points = config.space.grid() if config.sampler.name == "grid" else config.points_to_evaluate
    if not points:
        return
    given = [record.known for record in records if record.known is not None]
    taken = {frozenset(params.items()) for params in (*given, *(r.params for r in records))}
    for point in points:
        key = frozenset(point.items())
        if key not in taken:
            taken.add(key)
            yield point
