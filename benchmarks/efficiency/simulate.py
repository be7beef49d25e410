"""Replays recorded learning curves: W workers that train at once, and a method that tells them what."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from benchmarks.efficiency.curve_tables import LENGTH, Table


@dataclass(frozen=True)
class Job:
    """A free worker's next work: a trial from `depth` virtual epochs on."""

    trial: int
    params: Mapping[str, Any]
    depth: int = 0


class Method(Protocol):
    """A searcher with its scheduler, behind the two questions that a worker asks."""

    def next_job(self) -> Job | None:
        """What a free worker trains; None if there is nothing for it now."""
        ...

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        """Take the metric of one virtual epoch; whether the job goes on.

        It is also told of the last virtual epoch, after which the job ends whatever is returned.
        """
        ...


@dataclass(frozen=True)
class Trace:
    """What a search had found when."""

    costs: list[int] = field(default_factory=list)
    """Virtual epochs trained by all workers together."""
    bests: list[float] = field(default_factory=list)
    """The best metric that had been reported by then."""

    def add(self, value: float, sign: float) -> None:
        """One more virtual epoch was trained, with this metric; `sign` is -1 where less is better."""
        best = sign * value if not self.bests else max(sign * self.bests[-1], sign * value)
        self.costs.append(len(self.costs) + 1)
        self.bests.append(sign * best)

    def best_at(self, cost: float) -> float | None:
        """None before the first report."""
        place = int(np.searchsorted(self.costs, cost, side="right")) - 1
        return self.bests[place] if place >= 0 else None


def simulate(table: Table, method: Method, *, budget: int, seed: int, num_workers: int = 4) -> Trace:
    """Run a search on recorded curves until its trials have trained `budget` virtual epochs.

    Workers are asynchronous: a virtual epoch takes as long as its trial is slow, which is drawn from (seed,
    trial), lognormal around 1 with a deviation of 0.2. A virtual epoch is paid for when it has been trained.
    """
    trace = Trace()
    rows: dict[int, int] = {}
    events: list[tuple[float, int, Job, int]] = []
    idle, now, count = num_workers, 0.0, 0
    while len(trace.costs) < budget:
        while idle and (job := method.next_job()) is not None:
            idle -= 1
            if job.trial not in rows:
                rows[job.trial] = table.row(job.params, set(rows.values()))
            heapq.heappush(events, (now + pace(seed, job.trial), count, job, job.depth + 1))
            count += 1
        if not events:
            break
        now, _, job, virtual_epoch = heapq.heappop(events)
        value = float(table.values[rows[job.trial], virtual_epoch - 1])
        trace.add(value, table.sign)
        goes_on = method.report(job.trial, virtual_epoch, value)
        if goes_on and virtual_epoch < LENGTH:
            heapq.heappush(events, (now + pace(seed, job.trial), count, job, virtual_epoch + 1))
            count += 1
        else:
            idle += 1
    return trace


def pace(seed: int, trial: int) -> float:
    """Time that a virtual epoch of the trial takes."""
    return float(np.exp(0.2 * np.random.default_rng((seed, trial)).standard_normal()))
