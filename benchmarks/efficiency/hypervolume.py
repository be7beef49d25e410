"""Fronts of a metric and of what a model costs, and the hypervolume that they dominate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.efficiency.quality import Report, Trace
from benchmarks.efficiency.surrogate import Surrogate
from search.study.front import non_dominated_ranks

Point = tuple[float, float]
"""Metric and cost of one model."""
BEYOND = 0.1
"""The reference cost lies this share of the logarithmic range beyond the largest."""
_NUM_CANDIDATES, _NUM_CLIMBS, _NUM_BEST = 20_000, 12, 8


@dataclass(frozen=True)
class Scale:
    """What hypervolume is measured in, so that both objectives go from 0 at the reference to 1 at their best.

    The metric is linear from that of the median random configuration, as regret is; the cost is logarithmic,
    from a tenth of the range beyond the largest model to the smallest.
    """

    reference: float
    """The metric of the reference point."""
    best: float
    """The best known metric."""
    smallest: float
    largest: float
    """Cost of the smallest and of the largest model."""

    def hypervolume(self, points: Iterable[Point]) -> float:
        """Area that these dominate, from 0 to 1."""
        gains = sorted((self._gains(point) for point in points), reverse=True)
        area = reached = 0.0
        for gain, cheapness in gains:
            if gain > 0 and cheapness > reached:
                area += gain * (cheapness - reached)
                reached = cheapness
        return area

    def _gains(self, point: Point) -> Point:
        value, cost = point
        gain = (value - self.reference) / (self.best - self.reference)
        span = math.log(self.largest / self.smallest)
        return gain, (math.log(self.largest / cost) / span + BEYOND) / (1 + BEYOND)


def front_after(
    trace: Trace, num_virtual_epochs: int, sign: float, cost: Callable[[int], float]
) -> list[Point]:
    """The front that a search would hand over after so many virtual epochs, valued without noise.

    A trial counts with the virtual epoch that reported the best metric, whose checkpoint is kept. What trials
    reported says which of them are of the front.

    Args:
        sign: -1 where a smaller metric is better.
        cost: of a trial.
    """
    best: dict[int, Report] = {}
    for report in trace.reports[:num_virtual_epochs]:
        if report.trial not in best or sign * report.reported > sign * best[report.trial].reported:
            best[report.trial] = report
    losses = [(-sign * report.reported, cost(report.trial)) for report in best.values()]
    return [
        (report.noise_free, loss[1])
        for report, loss, rank in zip(best.values(), losses, non_dominated_ranks(losses), strict=True)
        if rank == 0
    ]


def best_known(surrogate: Surrogate, cost: Callable[[Mapping[str, Any]], float]) -> list[Point]:
    """For each cost the best noise-free metric that is known, the cheapest first.

    Of random configurations, and of steps from the best of each cost: points of the front, and those that
    others dominate.
    """
    rng, encoding, sign = np.random.default_rng(0), surrogate.encoding, surrogate.sign
    rows = encoding.random(rng, _NUM_CANDIDATES)
    found: dict[float, list[tuple[float, np.ndarray]]] = {}
    for climb in range(_NUM_CLIMBS + 1):
        values = sign * surrogate.best_values(rows)
        costs = [cost(encoding.params(row)) for row in rows]
        for value, row, of_row in zip(values, rows, costs, strict=True):
            found.setdefault(of_row, []).append((float(value), row))
        for of_row, known in found.items():
            known.sort(key=lambda item: -sign * item[0])
            found[of_row] = known[:_NUM_BEST]
        rows = np.concatenate(
            [
                encoding.neighbours(row, rng, 100, deviation=0.2 * 0.75**climb, switch=0.1)
                for known in found.values()
                for _, row in known
            ]
        )
    return [(found[of_row][0][0], of_row) for of_row in sorted(found)]


def scale_of(surrogate: Surrogate, best: Iterable[Point]) -> Scale:
    """The scale of a problem, of which `best_known` found these points."""
    values, costs = zip(*best, strict=True)
    top = surrogate.sign * max(surrogate.sign * value for value in values)
    return Scale(surrogate.median, top, min(costs), max(costs))
