"""tune-search in the simulator: study, coordinator and executor of a real run, without training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.efficiency.curve_tables import LENGTH, Problem, Table
from benchmarks.efficiency.simulate import Trace, pace
from benchmarks.simulated import SimulatedExecutor
from search.config.config import Config
from search.config.stages import load_config
from search.run.coordinator import Coordinator
from search.run.folder import RunFolder
from search.run.stage import build_coordinator
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs


def simulate_own(
    table: Table,
    folder: Path,
    *,
    budget: int,
    seed: int,
    num_workers: int = 4,
    sections: Mapping[str, Any],
) -> tuple[Trace, Coordinator]:
    """As `simulate`, which runs the other methods.

    Args:
        folder: where the run is kept.
        sections: of the configuration, such as `{"sampler": {"name": "random"}}`; the defaults without.
    """
    trace, rows = Trace(), dict[int, int]()

    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        value = float(table.values[rows[record.number], virtual_epoch - 1])
        trace.add(value, table.sign)
        return value

    def begun(record: TrialRecord) -> None:
        if record.number not in rows:
            rows[record.number] = table.row(record.resolved.params, set(rows.values()))

    problem = table.problem
    lengths = VirtualEpochs(unit="steps", count=problem.steps, step_samples=1, epoch_samples=None)
    executor = SimulatedExecutor(
        curve,
        metric=problem.metric,
        lengths=lambda record: lengths,
        workers=num_workers,
        pace=partial(pace, seed),
    )
    config, run = _config(problem, seed, sections), RunFolder(folder)
    run.create()
    coordinator = build_coordinator(
        config, run, num_workers, watch=lambda event: begun(event.record), clock=executor.clock
    )
    coordinator.recover()
    while len(trace.costs) < budget and executor.step(coordinator):
        pass
    return trace, coordinator


def _config(problem: Problem, seed: int, sections: Mapping[str, Any]) -> Config:
    sections = dict(sections)
    return load_config(
        {
            "name": problem.name,
            "task": problem.task,
            "objective": {"metric": problem.metric, "mode": problem.mode},
            "trial": problem.trial,
            "virtual_epoch": {"steps": problem.steps},
            "budget": {"trials": 100_000, "max_virtual_epochs": LENGTH},
            **sections,
            "sampler": {**sections.pop("sampler", {}), "seed": seed},
        },
        (),
    ).first
