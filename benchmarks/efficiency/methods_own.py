"""tune-search in the simulator: study, coordinator and executor of a real run, without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.efficiency.problems import LENGTH, Problem
from benchmarks.efficiency.quality import Trace
from benchmarks.efficiency.simulate import Training, pace
from benchmarks.efficiency.surrogate import Surrogate
from search.config.config import Config
from search.config.stages import load_config
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.events import Event, EventKind
from search.run.executors.simulated import SimulatedExecutor
from search.run.stage import build_coordinator
from trainables.data.virtual_epoch import VirtualEpochs


def simulate_own(
    surrogate: Surrogate,
    folder: Path,
    *,
    seed: int,
    sections: Mapping[str, Any],
    budget: int | None = None,
    max_trials: int | None = None,
    num_workers: int = 4,
    measured: Callable[[Mapping[str, Any]], Mapping[str, float]] = lambda params: {},
) -> tuple[Trace, Coordinator]:
    """As `simulate`, which runs the other methods.

    Args:
        folder: where the run is kept.
        sections: of the configuration, such as `{"sampler": {"name": "random"}}`; the defaults without.
        max_trials: `budget.trials`.
        measured: of the model with these parameters, before its first step.
    """
    training, problem = Training(surrogate, seed), surrogate.problem
    lengths = VirtualEpochs(unit="steps", count=problem.steps, step_samples=1, epoch_samples=None)
    executor = SimulatedExecutor(
        lambda record, virtual_epoch: training.value(record.number, virtual_epoch),
        metric=problem.metric,
        lengths=lambda record: lengths,
        workers=num_workers,
        pace=partial(pace, seed),
        measured=lambda record: measured(record.resolved.params),
    )
    config, run = _config(problem, seed, sections, max_trials or 100_000), RunFolder(folder)
    run.create()

    def follow(event: Event) -> None:
        training.begin(event.record.number, event.record.resolved.params)
        if event.kind is EventKind.REPORTED and (best := coordinator.best) is not None:
            training.choose(best.number, best.best_virtual_epoch(problem.mode))

    coordinator = build_coordinator(config, run, num_workers, watch=follow, clock=executor.clock)
    coordinator.recover()
    while (budget is None or training.trace.cost < budget) and executor.step(coordinator):
        pass
    return training.trace, coordinator


def _config(problem: Problem, seed: int, sections: Mapping[str, Any], trials: int) -> Config:
    sections = dict(sections)
    return load_config(
        {
            "name": problem.name,
            "task": problem.task,
            "objective": {"metric": problem.metric, "mode": problem.mode},
            "trial": problem.trial,
            "virtual_epoch": {"steps": problem.steps},
            "budget": {"trials": trials, "max_virtual_epochs": LENGTH},
            **sections,
            "sampler": {**sections.pop("sampler", {}), "seed": seed},
        },
        (),
    ).first
