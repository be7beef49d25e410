"""Methods of several objectives in the simulator: Optuna's samplers at full length, Syne Tune's MO-ASHA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import numpy as np
import optuna

from benchmarks.efficiency.problems import LENGTH, Problem
from benchmarks.efficiency.simulate import Job, Method

OPTUNA: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random, full length": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "Optuna NSGA-II": lambda seed: optuna.samplers.NSGAIISampler(seed=seed),
    "Optuna NSGA-II, population 10": lambda seed: optuna.samplers.NSGAIISampler(
        seed=seed, population_size=10
    ),
    # A conditional space needs group.
    "Optuna TPE": lambda seed: optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True
    ),
}
SYNE_TUNE = ("Syne Tune MO-ASHA", "Syne Tune MO-ASHA, as in the paper")
"""The second one with `in_order_of_paper`. Its spaces know no conditions, see methods_syne_tune."""
REDUCTION_FACTOR = 3
Cost = Callable[[Mapping[str, Any]], float]


class OptunaFronts:
    """`study.ask` and `study.tell` with two directions. Optuna prunes no trial of several objectives.

    A trial is told with the best metric of its virtual epochs, as the checkpoint of that one would be kept.
    """

    def __init__(self, problem: Problem, sampler: optuna.samplers.BaseSampler, cost: Cost) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        first = "maximize" if problem.mode == "max" else "minimize"
        self._study = optuna.create_study(directions=[first, "minimize"], sampler=sampler)
        self._problem, self._cost = problem, cost
        self._trials: dict[int, tuple[optuna.Trial, float]] = {}
        self._best: dict[int, float] = {}

    def next_job(self) -> Job:
        trial = self._study.ask()
        params = self._problem.space.suggest(trial).params
        self._trials[trial.number] = trial, self._cost(params)
        return Job(trial.number, params)

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        sign = self._problem.sign
        self._best[trial] = sign * max(sign * value, sign * self._best.get(trial, value))
        if virtual_epoch < LENGTH:
            return True
        asked, cost = self._trials[trial]
        self._study.tell(asked, [self._best[trial], cost])
        return False


class SyneTuneFronts:
    """A scheduler of Syne Tune with two metrics to minimize, called in the order of Syne Tune's Tuner."""

    def __init__(self, problem: Problem, scheduler: Any, cost: Cost) -> None:
        self._problem, self._scheduler, self._cost = problem, scheduler, cost
        self._trials: list[Any] = []
        self._costs: list[float] = []

    def next_job(self) -> Job:
        from syne_tune.backend.trial_status import Trial

        from benchmarks.efficiency.methods_syne_tune import active_params

        suggestion = self._scheduler.suggest()
        number = len(self._trials)
        self._trials.append(Trial(number, suggestion.config, datetime.now()))
        self._scheduler.on_trial_add(self._trials[number])
        params = active_params(self._problem, suggestion.config)
        self._costs.append(self._cost(params))
        return Job(number, params)

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        from syne_tune.optimizer.scheduler import SchedulerDecision

        asked = self._trials[trial]
        result = {
            self._problem.metric: -self._problem.sign * value,
            "cost": self._costs[trial],
            "virtual_epoch": virtual_epoch,
        }
        if self._scheduler.on_trial_result(asked, result) == SchedulerDecision.CONTINUE:
            return True
        self._scheduler.on_trial_remove(asked)
        return False


def method(name: str, problem: Problem, seed: int, cost: Cost) -> Method:
    """The method of that name, new. Syne Tune's draws from NumPy's global generator, which is seeded here."""
    if name in OPTUNA:
        return OptunaFronts(problem, OPTUNA[name](seed), cost)
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    from benchmarks.efficiency.methods_syne_tune import flat_space

    np.random.seed(seed)
    scheduler = MOASHA(
        flat_space(problem),
        metrics=[problem.metric, "cost"],
        time_attr="virtual_epoch",
        multiobjective_priority=None if name == SYNE_TUNE[0] else in_order_of_paper,
        max_t=LENGTH,
        grace_period=1,
        reduction_factor=REDUCTION_FACTOR,
        random_seed=seed,
    )
    return SyneTuneFronts(problem, scheduler, cost)


def in_order_of_paper(objectives: np.ndarray) -> np.ndarray:
    """Ranks [N] of objectives [N, 2] by non-domination, then by Syne Tune's epsilon-net of them, scaled.

    As of 0.16 Syne Tune's own priority is the sorted order of the trials, where its rungs take the number at
    a trial's place for its rank, and its net measures distances in the units of the objectives.
    """
    from syne_tune.optimizer.schedulers.multiobjective.non_dominated_priority import (
        compute_epsilon_net,
        pareto_efficient,
    )

    span = np.ptp(objectives, axis=0)
    scaled = objectives / np.where(span > 0, span, 1.0)
    ranks, left = np.zeros(len(scaled), dtype=np.int64), np.arange(len(scaled))
    while left.size:
        efficient = pareto_efficient(scaled[left])
        front = left[efficient]
        ranks[front] = len(scaled) - len(left) + compute_epsilon_net(scaled[front], dim=0)
        left = left[~efficient]
    return ranks
