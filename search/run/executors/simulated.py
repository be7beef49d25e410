"""Runs jobs without training, on a virtual clock: for forecasts, and to test what a search decides."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from search.config.config import Config
from search.run.coordinator import Coordinator
from search.run.events import Turn
from search.run.executor import Executor, Jobs
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import Failure, FailureKind

Curve = Callable[[TrialRecord, int], float]
"""Objective of a trial after so many virtual epochs; NaN diverges."""


class SimulatedExecutor(Executor):
    """Workers that train at once, each a virtual epoch at a time.

    Args:
        curve: what trials reach.
        metric: name of the objective.
        lengths: of a trial's virtual epochs.
        workers: jobs that run at once.
        pace: seconds that a virtual epoch of trial n takes.
        faults: what becomes of virtual epoch v of trial n in attempt a: None, or how it fails.
        starting: seconds that pass before a job of a trial trains.
        trained: seconds of a virtual epoch of trial n by its own report; those of its pace by default.
        measured: of a trial's model before its first step, for `limits:`; empty where nothing is.
        stale: virtual epochs that a job computes again, as after the loss of that many checkpoints.
        has_room: whether trial n finds what it takes beside the running ones; nobody begins before one that
            waits.
    """

    def __init__(
        self,
        curve: Curve,
        *,
        metric: str,
        lengths: Callable[[TrialRecord], VirtualEpochs],
        workers: int = 1,
        pace: Callable[[int], float] = lambda number: 1 + number / 1000,
        faults: Callable[[int, int, int], FailureKind | None] = lambda number, virtual_epoch, attempt: None,
        starting: Callable[[int], float] = lambda number: 0.0,
        trained: Callable[[int], float] | None = None,
        measured: Callable[[TrialRecord], Mapping[str, float]] = lambda record: {},
        stale: int = 0,
        has_room: Callable[[Sequence[int], int], bool] = lambda running, number: True,
    ) -> None:
        self.now = 0.0
        """Seconds, on the virtual clock."""
        self._curve, self._metric, self._lengths = curve, metric, lengths
        self._workers, self._pace, self._faults, self._stale = workers, pace, faults, stale
        self._starting, self._trained, self._measured = starting, trained, measured
        self._has_room = has_room
        self._waiting: TrialRecord | None = None
        """Has no room yet."""
        self._models: dict[int, Mapping[str, float]] = {}
        """What was measured of the models of trials that are about to say so, by their number."""
        self._taken: dict[int, float] = {}
        """Seconds of the running virtual epoch of each trial."""
        self._jobs: list[tuple[float, int, int]] = []
        """When a virtual epoch ends, of which trial, and which it is; 0 is the measuring of the model."""

    def clock(self) -> float:
        """The virtual clock, for the coordinator."""
        return self.now

    def concurrency(self, config: Config) -> int:
        """As many as there are workers; they have what any trial asks for."""
        return self._workers

    def run(self, coordinator: Coordinator, jobs: Jobs | None = None) -> None:
        while self.step(coordinator):
            pass

    def step(self, coordinator: Coordinator) -> bool:
        """One virtual epoch of one worker; whether there was one."""
        self.start_jobs(coordinator)
        if not self._jobs:
            return False
        self.now, number, virtual_epoch = heapq.heappop(self._jobs)
        self._finish(coordinator, coordinator.study.records[number], virtual_epoch)
        return True

    def start_jobs(self, coordinator: Coordinator) -> None:
        """Give every free worker a job, as long as there are any."""
        while len(self._jobs) < self._workers:
            waited, self._waiting = self._waiting, None
            if waited is not None and coordinator.ending is not None:
                coordinator.cut_off(waited)
                return
            record = waited or coordinator.next_job()
            if isinstance(record, Turn):
                return
            if not self._has_room([number for _, number, _ in self._jobs], record.number):
                self._waiting = record
                return
            coordinator.times.begin(record.number)
            begins = self.now + self._starting(record.number)
            if not record.depth and (model := self._measured(record)):
                self._models[record.number] = model
                heapq.heappush(self._jobs, (begins, record.number, 0))
                continue
            self._go_on(record, max(1, record.depth + 1 - self._stale), begins)

    def _go_on(self, record: TrialRecord, virtual_epoch: int, begins: float) -> None:
        self._taken[record.number] = self._pace(record.number)
        heapq.heappush(self._jobs, (begins + self._taken[record.number], record.number, virtual_epoch))

    def _finish(self, coordinator: Coordinator, record: TrialRecord, virtual_epoch: int) -> None:
        if virtual_epoch == 0:
            report: dict[str, Any] = {"measured": self._models.pop(record.number)}
            if coordinator.on_report(record.number, report, self._lengths(record)):
                self._go_on(record, 1, self.now)
            return
        fault = self._faults(record.number, virtual_epoch, len(record.failures))
        if fault is not None:
            failure = Failure(fault, f"{fault} in virtual epoch {virtual_epoch}")
            coordinator.on_lost(record.number, failure)
            return
        value = self._curve(record, virtual_epoch)
        seconds = self._taken[record.number] if self._trained is None else self._trained(record.number)
        before = record.seconds * ((virtual_epoch - 1) / record.depth) if record.depth else 0.0
        report = {"virtual_epoch": virtual_epoch, "seconds": before + seconds}
        if math.isfinite(value):
            report[self._metric] = value
        else:
            report["diverged"] = f"virtual epoch {virtual_epoch}, loss is {value}"
        if coordinator.on_report(record.number, report, self._lengths(record)):
            self._go_on(record, virtual_epoch + 1, self.now)
