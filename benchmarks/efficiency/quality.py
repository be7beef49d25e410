"""What a search had found when, and how the qualities of many searches are summarized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Report(NamedTuple):
    """What a trial reported after a virtual epoch, and what it is worth."""

    trial: int
    reported: float
    noise_free: float


@dataclass(frozen=True)
class Trace:
    """The incumbent after each virtual epoch: the best by what trials report, noise included, unless the
    method itself says which one it takes for the best."""

    reported: list[float] = field(default_factory=list)
    """What the incumbent reported. A virtual epoch trained by any worker is one entry."""
    noise_free: list[float] = field(default_factory=list)
    """What it is worth."""
    reports: list[Report] = field(default_factory=list)
    """All that was reported, in the order of time."""
    params: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """Of each trial."""

    @property
    def cost(self) -> int:
        """Virtual epochs trained by all workers together."""
        return len(self.reported)

    def add(self, reported: float, noise_free: float, sign: float) -> None:
        """One more virtual epoch was trained; `sign` is -1 where less is better."""
        if self.reported and sign * self.reported[-1] >= sign * reported:
            reported, noise_free = self.reported[-1], self.noise_free[-1]
        self.reported.append(reported)
        self.noise_free.append(noise_free)

    def choose(self, noise_free: float) -> None:
        """After the last virtual epoch the method takes one of this worth for the best."""
        self.noise_free[-1] = noise_free

    def at(self, cost: float) -> float | None:
        """The noise-free value of the incumbent when so much was trained; None before the first report."""
        place = min(int(cost), self.cost) - 1
        return self.noise_free[place] if place >= 0 else None


@dataclass(frozen=True)
class Spread:
    """Regrets or shares of one method over seeds."""

    count: int
    mean: float
    half: float
    """Half the width of the 95 % confidence interval of the mean (normal); NaN for one value."""
    median: float
    upper: float
    """Upper quartile."""
    worst: float
    """The largest, as of regrets."""
    lower: float
    """Lower quartile."""
    least: float
    """The smallest, which is the worst where more is better."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        array = np.asarray(values, dtype=np.float64)
        half = 1.96 * array.std(ddof=1) / np.sqrt(len(array)) if len(array) > 1 else float("nan")
        lower, median, upper = np.quantile(array, (0.25, 0.5, 0.75))
        found = (array.mean(), half, median, upper, array.max(), lower, array.min())
        return cls(len(array), *(float(x) for x in found))


def mean_ranks(means: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean rank of each method, 1 for the best, over problems: each a mapping of methods to mean regret.

    Only methods that were run on every problem are ranked; in a tie, each has the middle of the ranks.
    """
    common = sorted(set.intersection(*(set(problem) for problem in means))) if means else []
    ranks: dict[str, list[float]] = {name: [] for name in common}
    for problem in means:
        for name in common:
            better = sum(problem[other] < problem[name] for other in common)
            same = sum(problem[other] == problem[name] for other in common)
            ranks[name].append(better + (same + 1) / 2)
    return {name: float(np.mean(values)) for name, values in ranks.items()}
