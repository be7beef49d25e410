"""Searches on a surrogate: W workers that train at once, and a method that tells them what."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from benchmarks.efficiency.problems import LENGTH
from benchmarks.efficiency.quality import Report, Trace
from benchmarks.efficiency.surrogate import Surrogate


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


class Training:
    """The trials of one search: what they report, and what the search has found."""

    def __init__(self, surrogate: Surrogate, seed: int) -> None:
        self.trace = Trace()
        self._surrogate, self._seed = surrogate, seed
        self._curves: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __contains__(self, trial: int) -> bool:
        return trial in self._curves

    def __len__(self) -> int:
        """Trials that have begun."""
        return len(self._curves)

    def begin(self, trial: int, params: Mapping[str, Any]) -> None:
        """A job of the trial begins; its curve is drawn when it is the first."""
        if trial not in self._curves:
            self.trace.params[trial] = params
            curve = self._surrogate.curve(params)
            self._curves[trial] = curve, self._surrogate.reported(curve, seed=self._seed, trial=trial)

    def value(self, trial: int, virtual_epoch: int) -> float:
        """Train one virtual epoch: what the trial reports after it."""
        curve, reported = (values[virtual_epoch - 1] for values in self._curves[trial])
        self.trace.add(float(reported), float(curve), self._surrogate.sign)
        self.trace.reports.append(Report(trial, float(reported), float(curve)))
        return float(reported)

    def choose(self, trial: int, virtual_epoch: int) -> None:
        """The method takes this virtual epoch of this trial for the best until now."""
        self.trace.choose(float(self._curves[trial][0][virtual_epoch - 1]))


def simulate(
    surrogate: Surrogate,
    method: Method,
    *,
    seed: int,
    budget: int | None = None,
    max_trials: int | None = None,
    num_workers: int = 4,
) -> Trace:
    """Run a search until its trials have trained `budget` virtual epochs, or until it has ended.

    Workers are asynchronous: a virtual epoch takes as long as its trial is slow, which is drawn from (seed,
    trial), lognormal around 1 with a deviation of 0.2. A virtual epoch is paid for when it has been trained.

    Args:
        max_trials: when the method would begin one more, it is not asked any more, and what runs ends.
    """
    assert budget is not None or max_trials is not None
    training = Training(surrogate, seed)
    events: list[tuple[float, int, Job, int]] = []
    idle, now, count, asks = num_workers, 0.0, 0, True
    while budget is None or training.trace.cost < budget:
        while asks and idle and (job := method.next_job()) is not None:
            if max_trials is not None and job.trial not in training and len(training) >= max_trials:
                asks = False
                break
            idle -= 1
            training.begin(job.trial, job.params)
            heapq.heappush(events, (now + pace(seed, job.trial), count, job, job.depth + 1))
            count += 1
        if not events:
            break
        now, _, job, virtual_epoch = heapq.heappop(events)
        goes_on = method.report(job.trial, virtual_epoch, training.value(job.trial, virtual_epoch))
        if goes_on and virtual_epoch < LENGTH:
            heapq.heappush(events, (now + pace(seed, job.trial), count, job, virtual_epoch + 1))
            count += 1
        else:
            idle += 1
    return training.trace


def pace(seed: int, trial: int) -> float:
    """Time that a virtual epoch of the trial takes."""
    return float(np.exp(0.2 * np.random.default_rng((seed, trial)).standard_normal()))
