"""Syne Tune's asynchronous successive halving with each of its searchers, in the simulator.

As of 0.16 the scheduler only stops trials; the variant that pauses and promotes them is not in it any more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from syne_tune import config_space as domains
from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler
from syne_tune.optimizer.schedulers.asha import AsynchronousSuccessiveHalving
from syne_tune.optimizer.schedulers.searchers.bore import Bore
from syne_tune.optimizer.schedulers.searchers.last_value_multi_fidelity_searcher import (
    LastValueMultiFidelitySearcher,
)
from syne_tune.utils import streamline_config_space

from benchmarks.efficiency.problems import LENGTH, Problem
from benchmarks.efficiency.simulate import Job
from search.space.domains import Choice, Integer, Real

REDUCTION_FACTOR = 3
CQR_UPDATE_FREQUENCY = 1
"""New trials until quantile regression is fitted again; the default. More is documented to save time, and
does, but repeats points of the same model: with 4, 3 of 19 trials were repetitions, with 1 none of 18."""
NAMES = ["Syne Tune ASHA", "Syne Tune ASHABORE", "Syne Tune ASHACQR", "Syne Tune BOHB"]
_RESOURCE = "virtual_epoch"


class SyneTune:
    """A TrialScheduler, called in the order in which Syne Tune's Tuner calls it.

    Its spaces know no conditions: it draws all parameters, and those of an option that was not chosen have no
    effect.
    """

    def __init__(self, problem: Problem, scheduler: TrialScheduler) -> None:
        self._problem, self._scheduler = problem, scheduler
        self._trials: list[Trial] = []
        self._depths: list[int] = []

    def next_job(self) -> Job | None:
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        if suggestion.spawn_new_trial_id:
            number = len(self._trials)
            self._trials.append(Trial(number, suggestion.config, datetime.now()))
            self._depths.append(0)
            self._scheduler.on_trial_add(self._trials[number])
        else:
            number = suggestion.checkpoint_trial_id
        params = active_params(self._problem, self._trials[number].config)
        return Job(number, params, self._depths[number])

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        asked = self._trials[trial]
        self._depths[trial] = virtual_epoch
        result = {self._problem.metric: value, _RESOURCE: virtual_epoch}
        if self._scheduler.on_trial_result(asked, result) == SchedulerDecision.CONTINUE:
            return True
        self._scheduler.on_trial_remove(asked)
        return False


class FastBore(Bore):
    """Bore with one prediction for all candidates in place of one for each: the same choice in less time.

    Candidates are not compared with each other, for spaces with a continuous parameter never draw one twice.
    """

    def suggest(self, **kwargs: Any) -> dict[str, Any]:
        if len(self.inputs) < self.init_random or self.random_state.rand() < self.random_prob:
            return self._get_random_config()
        if not self._train_model(self.inputs, self.targets):
            return self._get_random_config()
        candidates = [self._get_random_config() for _ in range(self.feval_acq)]
        points = np.stack([self._hp_ranges.to_ndarray(candidate) for candidate in candidates])
        return candidates[int(self._loss(points).argmin())]


def method(name: str, problem: Problem, *, seed: int) -> SyneTune:
    """What Syne Tune's class of that name is made of, with its defaults.

    Much in it draws from NumPy's global generator, which is seeded here, as in Syne Tune's own benchmarks.
    """
    np.random.seed(seed)
    space = flat_space(problem)
    searcher, frequency = {
        "Syne Tune ASHA": ("random_search", 1),
        "Syne Tune ASHABORE": (FastBore, 1),
        "Syne Tune ASHACQR": ("cqr", CQR_UPDATE_FREQUENCY),
        "Syne Tune BOHB": ("kde", 1),
    }[name]
    scheduler = AsynchronousSuccessiveHalving(
        space,
        metric=problem.metric,
        do_minimize=problem.mode == "min",
        searcher=LastValueMultiFidelitySearcher(
            space, random_seed=seed, searcher=searcher, update_frequency=frequency
        ),
        time_attr=_RESOURCE,
        max_t=LENGTH,
        grace_period=1,
        reduction_factor=REDUCTION_FACTOR,
        random_seed=seed,
    )
    return SyneTune(problem, scheduler)


def flat_space(problem: Problem) -> dict[str, Any]:
    """Every parameter, and numerical choices as numbers, which Syne Tune's documentation asks for."""
    return streamline_config_space({domain.name: _domain(domain) for domain, _ in problem.domains})


def active_params(problem: Problem, config: dict[str, Any]) -> dict[str, Any]:
    """Without the parameters of options that were not chosen."""
    values = {domain.name: _value(domain, config[domain.name]) for domain, _ in problem.domains}
    return problem.space.resolve(values).params


def _domain(domain: Real | Integer | Choice) -> Any:
    if isinstance(domain, Choice):
        kinds = {type(label) for label in domain.labels}
        return domains.choice(domain.labels if len(kinds) == 1 else [str(label) for label in domain.labels])
    if domain.kind == "quniform":
        return domains.finrange(*domain.bounds, size=domain.num_values())
    makers = {
        "uniform": domains.uniform,
        "loguniform": domains.loguniform,
        "randint": domains.randint,
        "lograndint": domains.lograndint,
    }
    return makers[domain.kind](*domain.bounds)


def _value(domain: Real | Integer | Choice, value: Any) -> Any:
    """A numerical choice became a range, whose values are the labels only nearly, and a mixed one texts."""
    if isinstance(domain, Choice) and not domain.contains(value):
        if isinstance(value, str):
            return next(label for label in domain.labels if str(label) == value)
        return min(domain.labels, key=lambda label: abs(label - value))
    return value
