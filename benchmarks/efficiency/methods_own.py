"""tune-search in the simulator: the objects of a real run, asked through Ray's interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from search.run.ray_tune import StudyScheduler, StudySearcher

from benchmarks.efficiency.curve_tables import LENGTH, Problem
from benchmarks.efficiency.simulate import Job
from search.config.config import Config, load_config
from search.run.folder import RunFolder
from search.run.stage import _build_coordinator, trial_plan
from trainables.data.virtual_epoch import VirtualEpochs


class TuneSearch:
    """The coordinator that a run has, with its study on disk, behind its Searcher and its TrialScheduler.

    Args:
        folder: where the run is kept.
        sections: of the configuration, such as `{"sampler": {"name": "random"}}`; the defaults without.
    """

    def __init__(
        self, problem: Problem, folder: Path, *, seed: int, num_workers: int, sections: Mapping[str, Any]
    ) -> None:
        self._problem = problem
        config = _config(problem, seed, sections)
        run = RunFolder(folder)
        run.create()
        self.coordinator = _build_coordinator(config, run, num_workers)
        self._searcher = StudySearcher(
            self.coordinator, lambda record: trial_plan(config, run, record, timeout=3600.0)
        )
        self._scheduler = StudyScheduler(self.coordinator)
        self._jobs: dict[int, Trial] = {}
        self._lengths = VirtualEpochs(unit="steps", count=problem.steps, step_samples=1, epoch_samples=None)
        self._count = 0

    def next_job(self) -> Job | None:
        self._count += 1
        config = self._searcher.suggest(str(self._count))
        if not isinstance(config, dict):
            return None
        trial = Trial("trial", config=config, trial_id=str(self._count), stub=True)
        number = config["plan"]["number"]
        self._jobs[number] = trial
        record = self.coordinator.study.records[number]
        return Job(number, record.resolved.params, record.depth)

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        job = self._jobs[trial]
        lengths = {f"lengths/{name}": item for name, item in self._lengths.as_dict().items()}
        result = {
            self._problem.metric: value,
            "virtual_epoch": virtual_epoch,
            "seconds": float(virtual_epoch),
            **lengths,
        }
        decision = self._scheduler.on_trial_result(None, job, result)
        goes_on = decision == TrialScheduler.CONTINUE
        if not goes_on:
            self._searcher.on_trial_complete(job.trial_id, result)
            del self._jobs[trial]
        return goes_on


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
    )
