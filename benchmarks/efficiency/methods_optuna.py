"""Optuna's samplers and pruners, and Ray Tune's searchers and schedulers, in the simulator."""

from __future__ import annotations

from typing import Any

import optuna
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from benchmarks.efficiency.problems import LENGTH, Problem
from benchmarks.efficiency.simulate import Job

REDUCTION_FACTOR = 3


class OptunaStudy:
    """`study.ask`, `trial.report`, `trial.should_prune`, `study.tell`, as in Optuna's own `optimize`."""

    def __init__(
        self, problem: Problem, sampler: optuna.samplers.BaseSampler, pruner: optuna.pruners.BasePruner
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = problem.space
        self._study = optuna.create_study(
            direction="maximize" if problem.mode == "max" else "minimize",
            sampler=sampler,
            pruner=pruner,
        )
        self._trials: dict[int, optuna.Trial] = {}
        self._last: dict[int, float] = {}

    def next_job(self) -> Job:
        trial = self._study.ask()
        params = self._space.suggest(trial).params
        self._trials[trial.number] = trial
        return Job(trial.number, params)

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        asked = self._trials[trial]
        asked.report(value, virtual_epoch)
        if virtual_epoch == LENGTH:
            self._study.tell(asked, value)
            return False
        if asked.should_prune():
            self._study.tell(asked, state=optuna.trial.TrialState.PRUNED)
            return False
        return True


class RayTune:
    """A Searcher and a TrialScheduler, called in the order in which Tune's controller calls them."""

    def __init__(self, problem: Problem, searcher: Searcher, scheduler: TrialScheduler) -> None:
        self._metric = problem.metric
        self._searcher, self._scheduler = searcher, scheduler
        self._trials: list[Trial] = []

    def next_job(self) -> Job | None:
        number = len(self._trials)
        config = self._searcher.suggest(str(number))
        if config is None:
            return None
        trial = Trial("trial", config=config, trial_id=str(number), stub=True)
        self._trials.append(trial)
        self._scheduler.on_trial_add(None, trial)
        return Job(number, config)

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        asked = self._trials[trial]
        result = {self._metric: value, "training_iteration": virtual_epoch, "trial_id": asked.trial_id}
        stops = self._scheduler.on_trial_result(None, asked, result) == TrialScheduler.STOP
        if not stops:
            self._searcher.on_trial_result(asked.trial_id, result)
        if stops or virtual_epoch == LENGTH:
            self._scheduler.on_trial_complete(None, asked, result)
            self._searcher.on_trial_complete(asked.trial_id, result)
            return False
        return True


def ray_tune(problem: Problem, sampler: optuna.samplers.BaseSampler, *, asha: bool) -> RayTune:
    """OptunaSearch, with ASHAScheduler or without a scheduler.

    Random search goes through it too, for Ray's own generator of random points knows no conditions.
    """
    metric, mode = problem.metric, problem.mode

    def space(trial: optuna.Trial) -> dict[str, Any] | None:
        problem.space.suggest(trial)
        return None

    scheduler = (
        ASHAScheduler(metric=metric, mode=mode, max_t=LENGTH, reduction_factor=REDUCTION_FACTOR)
        if asha
        else FIFOScheduler()
    )
    return RayTune(problem, OptunaSearch(space, metric=metric, mode=mode, sampler=sampler), scheduler)
