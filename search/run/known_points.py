"""Points to evaluate: parameters that new trials take before the sampler gives any."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from search.study.trial import TrialRecord

Point = Mapping[str, Any]
"""Some or all of a trial's parameters."""


class KnownPoints:
    """The points that no trial has taken, in order.

    Args:
        points: see `untried`.
        records: the trials so far.
    """

    def __init__(self, points: Sequence[Point], records: Sequence[TrialRecord]) -> None:
        self._points = deque(points)
        self._taken = _taken(records) if points else set()

    def next_point(self) -> Point | None:
        """The point that the next trial takes; None where none is left."""
        while self._points and frozenset(self._points[0].items()) in self._taken:
            self._points.popleft()
        return self._points[0] if self._points else None

    def add(self, record: TrialRecord) -> None:
        """There is another trial, which has taken its point."""
        if self._points:
            self._taken |= _taken([record])


def untried(points: Sequence[Point], records: Sequence[TrialRecord]) -> Iterator[Point]:
    """The points that no trial has taken; equal ones once.

    A trial has taken the point that was given to it, and one that has all of its parameters by chance.
    """
    taken = _taken(records)
    for point in points:
        key = frozenset(point.items())
        if key not in taken:
            taken.add(key)
            yield point


def _taken(records: Sequence[TrialRecord]) -> set[frozenset[tuple[str, Any]]]:
    given = [record.known for record in records if record.known is not None]
    return {frozenset(params.items()) for params in (*given, *(r.params for r in records))}
