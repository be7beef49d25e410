"""A small search of random configurations, bounded in time, that measures what trials take.

It is a search as any other, on the same executor and with as many trials at a time, so that what processes,
checkpoints and neighbours cost is in what it measures. Where a virtual epoch would take too long, its trials
have shorter ones, and the time of their steps is scaled up.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import torch

from search.config.config import Config
from search.config.schema import NoScheduler, Sampler, VirtualEpoch
from search.config.sections.budget import Budget
from search.errors import SearchError
from search.forecast.costs import Costs, OverLimit, TrialCost
from search.forecast.first_steps import FirstSteps, first_steps
from search.forecast.memory import MemoryWatch, watched_memory
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.events import Event, EventKind
from search.run.executor import Executor
from search.run.executors.local import LocalExecutor
from search.run.reporter import ProgressReporter
from search.run.signals import Terminated
from search.run.stage import run_in_folder
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord
from search.text import counted
from trainables.checkpoints.checkpoint import checkpoint_bytes, list_checkpoints

_LONGEST_TRIAL = 3
"""Virtual epochs of a trial; the first one counts for its start."""
_MOST_TRIALS = 24
_FIRST_ONLY = (
    "no configuration came to its second virtual epoch within the probe, so that only the first steps of one "
    "were timed, alone on this machine; a longer probe, as --probe 10m, measures more"
)
_SHORTENED = "trained were virtual epochs of {} steps; the time of longer ones is that of so many more steps"
_ENOUGH = 3
"""Measured configurations from which on their differences are taken for those of the space."""
_FEW = (
    "only {} came to an end within the probe: others may take more or less, and the ranges are too narrow; a "
    "longer probe, as --probe 5m, measures more"
)
_STARTING = 12.0
"""Seconds that Ray and the processes of trials are given before the first step."""


class Probe(NamedTuple):
    """What was measured."""

    costs: Costs
    concurrency: int
    seconds: float
    notes: tuple[str, ...]


def probe(config: Config, executor: Executor, *, seconds: float, report: Callable[[str], None]) -> Probe:
    """Measure some configurations of a space within about so many seconds.

    Args:
        config: of the search.
        executor: the one that the search will have.
        seconds: after which no further virtual epoch begins, and those that run are ended at their next one.
        report: is given what is being done.

    Raises:
        SearchError: no trial fits on this machine, all that were begun diverged or failed, or all that were
            measured are over the limit.
        KeyboardInterrupt: it was interrupted.
    """
    began = time.monotonic()
    executor.begin()
    first = first_steps(config, report)
    if executor.phase:
        report(executor.phase)
    executor.wait_until_ready()
    concurrency = executor.concurrency(config)
    starting = 0.0 if isinstance(executor, LocalExecutor) else _STARTING
    left = seconds - (time.monotonic() - began)
    asked = _length_that_fits(config, first, left - starting)
    if asked is None:
        return Probe(_of_first_steps(first), concurrency, time.monotonic() - began, (_FIRST_ONLY,))
    place = str(Path.cwd()) if executor.elsewhere else None
    with tempfile.TemporaryDirectory(prefix="tune-search-plan-", dir=place) as folder:
        run = RunFolder(Path(folder) / config.name)
        memory = MemoryWatch(
            local=isinstance(executor, LocalExecutor),
            gpu=any(size.resources.gpus_per_trial for size in config.resources.sizes)
            and torch.cuda.is_available(),
            concurrency=concurrency,
        )
        watcher = _Watcher(time.monotonic() + left, memory, report)
        report(f"training random configurations for up to {max(1, round(left))} s")
        with watcher.bounded(), watched_memory(memory):
            summary = run_in_folder(_small(config, asked, left), run, executor, watcher, name=config.name)
        if summary.status in ("interrupted", "terminated"):
            raise KeyboardInterrupt from (Terminated() if summary.status == "terminated" else None)
        measured = watcher.costs(config, run, concurrency)
    if measured is None:
        costs = replace(_of_first_steps(first), **watcher.sampled())
        return Probe(costs, concurrency, time.monotonic() - began, (_FIRST_ONLY,))
    hosts = executor.hosts() if len(config.resources.sizes) > 1 else ()
    costs = replace(measured, memory=memory.found, hosts=hosts)
    return Probe(costs, concurrency, time.monotonic() - began, _notes(config, asked, costs))


def _notes(config: Config, asked: VirtualEpoch, costs: Costs) -> tuple[str, ...]:
    """What a person should know of these costs."""
    found = [] if asked == config.virtual_epoch else [_SHORTENED.format(asked.count)]
    if len(costs.trials) < min(_ENOUGH, config.budget.trials or _ENOUGH):
        found.append(_FEW.format(counted(len(costs.trials), "configuration")))
    return tuple(found)


def _length_that_fits(config: Config, first: FirstSteps, seconds: float) -> VirtualEpoch | None:
    """Virtual epochs of the probe: the search's, or shorter ones so that a few trials fit; None if none does.

    A training function's are always its own.
    """
    for trials in (4, 2, 1):
        slot = seconds / trials / _LONGEST_TRIAL - first.rest
        if slot > 0 and first.step * first.lengths.end_step(1) <= slot:
            return config.virtual_epoch
        if 0 < first.step <= slot:
            return VirtualEpoch(steps=int(slot / first.step))
    return None


def _of_first_steps(first: FirstSteps) -> Costs:
    """All that is known without a trial."""
    seconds = first.step * first.lengths.end_step(1) + first.rest
    cost = TrialCost(
        params=first.params,
        lengths=first.lengths,
        seconds=(seconds,),
        trained=seconds,
        checkpoint_bytes=first.checkpoint_bytes,
    )
    return Costs(trials=(cost,))


def _small(config: Config, asked: VirtualEpoch, seconds: float) -> Config:
    """The configuration of the probe: random trials of a few virtual epochs, none ended early."""
    sampler = "grid" if config.sampler.name == "grid" else "random"
    seed = config.sampler.seed if isinstance(config.sampler, Sampler) else 0
    changed: dict[str, Any] = {
        "budget": Budget(trials=_MOST_TRIALS, max_virtual_epochs=_LONGEST_TRIAL),
        "scheduler": NoScheduler(name="none"),
        "sampler": Sampler(name=sampler, seed=seed),  # type: ignore[arg-type]
        "points_to_evaluate": [],
        "plateau": None,
        "virtual_epoch": asked,
        "max_failures": 0,
        "max_failed_trials": _MOST_TRIALS,
        "timeout": config.timeout or max(10.0, seconds),
        "checkpoint": config.checkpoint.model_copy(update={"keep_trials": 1}),
    }
    return config.model_copy(update=changed)


@dataclass(eq=False)
class _Timed:
    """When a trial began, and each of its reports with its time."""

    record: TrialRecord
    began: float
    reports: list[tuple[float, Any]] = field(default_factory=list)
    sizes: tuple[float, float] | None = None
    """Bytes of one checkpoint, and of what a virtual epoch leaves besides, while checkpoints were there."""
    ended: float = 0.0

    @property
    def is_over_limit(self) -> bool:
        return self.record.outcome is Outcome.OVER_LIMIT

    @property
    def has_failed(self) -> bool:
        """It was within the limits, and diverged or failed."""
        return self.record.outcome in BROKEN_OFF and not self.is_over_limit

    @property
    def walls(self) -> list[float]:
        """Seconds of its virtual epochs."""
        times = [self.began, *(at for at, _ in self.reports)]
        return [after - before for before, after in pairwise(times)]

    def measure(self, folder: Path) -> tuple[float, float]:
        """Take the sizes of what lies in the trial's folder, unless that is done."""
        if self.sizes is None:
            checkpoints = checkpoint_bytes(folder)
            one = checkpoints / max(1, len(list_checkpoints(folder)))
            self.sizes = one, max(0, _bytes_in(folder) - checkpoints) / max(1, len(self.reports))
        return self.sizes

    def cost(self, config: Config, folder: Path) -> TrialCost | None:
        """What it takes in virtual epochs of the search's length; None after less than two of them."""
        lengths = self.record.lengths
        if len(self.reports) < 2 or lengths is None:
            return None
        unit, count = config.virtual_epoch.unit, config.virtual_epoch.count
        asked = replace(lengths, unit=unit, count=count)
        seconds, trained = [], []
        for wall, ((_, before), (_, after)) in zip(self.walls[1:], pairwise(self.reports), strict=True):
            own, longer = after["seconds"] - before["seconds"], 0.0
            if asked != lengths:
                stepping = (after["samples"] - before["samples"]) / after["samples_per_second"]
                longer = stepping * (asked.end_step(1) / (after["step"] - before["step"]) - 1)
            seconds.append(wall + longer)
            trained.append(own + longer)
        checkpoint, others = self.measure(folder)
        return TrialCost(
            params=self.record.params,
            lengths=asked,
            seconds=seconds,
            trained=sum(trained) / len(trained),
            checkpoint_bytes=checkpoint,
            event_bytes=others,
        )


class _Watcher(ProgressReporter):
    """Times what happens in the probe's search, and ends it in time."""

    def __init__(self, deadline: float, memory: MemoryWatch, report: Callable[[str], None]) -> None:
        self._deadline, self._memory, self._report = deadline, memory, report
        self._trials: dict[int, _Timed] = {}
        self._coordinator: Coordinator | None = None
        self._ends: deque[float] = deque()
        """When jobs ended whose workers have no other yet."""
        self._gaps: list[float] = []
        """Seconds from the end of a job to the next one of its worker, in which checkpoints are saved."""

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Begin no virtual epoch after the deadline, also where nothing is reported until then."""
        timer = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        self._coordinator, self._folder = coordinator, folder
        if time.monotonic() >= self._deadline:  # the data took all of the time
            self._end()

    def event(self, event: Event) -> None:
        number, now = event.record.number, time.monotonic()
        if event.kind is EventKind.STARTED:
            self._trials[number] = _Timed(event.record, now)
            if self._ends:
                self._gaps.append(now - self._ends.popleft())
        elif event.kind is EventKind.REPORTED:
            timed = self._trials[number]
            timed.reports.append((now, event.metrics))
            # Its process waits for what this search decides, so that it is seen however short it lives.
            self._memory.look()
            # One that begins now would end after the deadline.
            if now + timed.walls[-1] > self._deadline and len(timed.reports) > 1:
                self._end()
        elif event.kind is EventKind.ENDED:
            self._ends.append(now)
            self._trials[number].ended = now
            # Before its checkpoints make room for those of others.
            self._trials[number].measure(self._folder.trial(number))
            measured = sum(len(each.reports) > 1 for each in self._trials.values())
            self._report(f"{counted(measured, 'configuration')} measured")

    def _end(self) -> None:
        if self._coordinator is not None:
            self._coordinator.end("the probe is over")

    def costs(self, config: Config, run: RunFolder, concurrency: int) -> Costs | None:
        """What the trials took; None if the time was too short for two virtual epochs of any.

        Raises:
            SearchError: all that were begun have diverged or failed, or all that were measured are over the
                limit.
        """
        trials = list(self._trials.values())
        costs = [(each, each.cost(config, run.trial(each.record.number))) for each in trials]
        measured = [(each, cost) for each, cost in costs if cost is not None]
        failed = [each for each in trials if each.has_failed]
        if not measured:
            self._refuse_if_none_can_train()
            return None
        starts = [(each, max(0.0, each.walls[0] - mean(each.walls[1:]))) for each, _ in measured]
        # One over the limit is built and measured, and no more.
        starts += [(each, each.ended - each.began) for each in trials if each.is_over_limit]
        # The first trial of each process waits for it.
        cold = [start for each, start in starts if each.record.number < concurrency]
        warm = [start for each, start in starts if each.record.number >= concurrency]
        unmeasured = sum(each.has_failed for each, cost in costs if cost is None)
        return Costs(
            trials=[cost for _, cost in measured],
            process_start=mean(cold) if cold else 0.0,
            job_start=(median(warm) if warm else 0.0) + (median(self._gaps) if self._gaps else 0.0),
            broken_off=len(failed) / (len(measured) + unmeasured),
            fixed_bytes=_bytes_in(run.prepared),
            failures=tuple(dict.fromkeys(each.record.reason for each in failed)),
            **self.sampled(),
        )

    def sampled(self) -> dict[str, Any]:
        """`Costs.over_limit` and `Costs.sampled`.

        A trial that the deadline cut off counts too: only those within the limits last long enough for that.
        """
        trials = list(self._trials.values())
        records = [each.record for each in trials if each.is_over_limit]
        within = sum(
            bool(each.has_failed or each.reports or (each.record.measured and not each.is_over_limit))
            for each in trials
        )
        over = [OverLimit(params=r.params, measured=r.measured, reason=r.reason) for r in records]
        return {"over_limit": over, "sampled": max(1, len(over) + within)}

    def _refuse_if_none_can_train(self) -> None:
        trials = list(self._trials.values())
        over = [each.record for each in trials if each.is_over_limit]
        failed = [each.record for each in trials if each.has_failed]
        if over and self.sampled()["sampled"] == len(over):
            more = "" if len(trials) >= _MOST_TRIALS else "; a longer --probe samples more"
            raise SearchError(
                f"all of {counted(len(over), 'configuration')} were over the limit ({over[0].reason}): raise "
                f"it under limits:, or narrow the space under trial:{more}"
            )
        if failed and len(failed) + len(over) == len(trials):
            beside = f", and {len(over)} others were over the limit ({over[0].reason})" if over else ""
            configurations = counted(len(failed), "configuration")
            raise SearchError(f"all of {configurations} diverged or failed: {failed[0].reason}{beside}")


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
