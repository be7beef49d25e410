"""NePS's PriorBand in the simulator, without knowledge and with the middle of every range as a prior.

Its base is Hyperband, the default. Its asynchronous bases, as of 0.17, promote all but two trials of a rung
in the end, for those already promoted do not count in it; with 6 seeds on two tables neither was better
over all budgets.

ifBO is not here: its surrogate's weights are not in the package, they are downloaded when it is made.

NePS needs gpytorch 1.13, and that botorch 0.12; it asks for pandas below 3, but PriorBand runs with 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import neps
import numpy as np
import torch

from benchmarks.efficiency.problems import LENGTH, Problem
from benchmarks.efficiency.simulate import Job
from search.space.domains import Choice, Confidence, Integer, Real

REDUCTION_FACTOR = 3
NAMES = ["NePS PriorBand", "NePS PriorBand, middle as prior"]
_FIDELITY = "virtual_epochs"


class Neps:
    """NePS's AskAndTell, which minimizes what a trial has reached at the end of its rung.

    Its flat spaces know no conditions: it draws all parameters, and those of an option that was not chosen
    have no effect.
    """

    def __init__(self, problem: Problem, optimizer: neps.AskAndTell) -> None:
        self._problem, self._optimizer = problem, optimizer
        self._running: dict[int, neps.Trial] = {}
        """What NePS calls a trial: a configuration on one rung."""
        self._depths: dict[int, int] = {}

    def next_job(self) -> Job:
        """A new trial, or the next rung of one that Hyperband has promoted."""
        asked = self._optimizer.ask()
        number = int(asked.id.split("_rung_")[0])
        self._running[number] = asked
        return Job(number, active_params(self._problem, asked.config), self._depths.get(number, 0))

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        asked = self._running[trial]
        if virtual_epoch < asked.config[_FIDELITY]:
            return True
        self._depths[trial] = virtual_epoch
        self._optimizer.tell(asked, -self._problem.sign * value)
        return False


def method(name: str, problem: Problem, *, seed: int) -> Neps:
    """PriorBand with its defaults.

    It draws from the global generators of NumPy and PyTorch, which are seeded here.
    """
    np.random.seed(seed)
    torch.manual_seed(seed)
    has_priors = {"NePS PriorBand": False, "NePS PriorBand, middle as prior": True}[name]
    priors = {domain.name: _middle(domain) for domain, _ in problem.domains} if has_priors else {}
    space = flat_space(problem, priors, "low")
    return Neps(problem, neps.AskAndTell(neps.algorithms.priorband(space, eta=REDUCTION_FACTOR)))


def flat_space(problem: Problem, priors: Mapping[str, Any], confidence: Confidence) -> neps.SearchSpace:
    """Every parameter, with its prior if it has one.

    NePS turns a PipelineSpace into a SearchSpace too, but puts the options in the order of a set, which for
    text is another one in each process.
    """
    parameters = {
        domain.name: _parameter(domain, priors.get(domain.name), confidence) for domain, _ in problem.domains
    }
    return neps.SearchSpace({**parameters, _FIDELITY: neps.HPOInteger(1, LENGTH, is_fidelity=True)})


def active_params(problem: Problem, config: dict[str, Any]) -> dict[str, Any]:
    """Without the parameters of options that were not chosen."""
    values = {domain.name: _value(domain, config[domain.name]) for domain, _ in problem.domains}
    return problem.space.resolve(values).params


def _parameter(domain: Real | Integer | Choice, prior: Any, confidence: Confidence) -> Any:
    if isinstance(domain, Choice):
        return neps.HPOCategorical(domain.labels, prior=prior, prior_confidence=confidence)
    maker = neps.HPOInteger if isinstance(domain, Integer) else neps.HPOFloat
    log = domain.kind.startswith("log")
    return maker(*domain.bounds, log=log, prior=prior, prior_confidence=confidence)


def _middle(domain: Real | Integer | Choice) -> Any:
    """Of numbers in a choice the middle one, of other options the first."""
    if isinstance(domain, Choice):
        numbers = all(isinstance(label, int | float) for label in domain.labels)
        return domain.labels[(len(domain.labels) - 1) // 2 if numbers else 0]
    low, high = domain.bounds
    middle = math.sqrt(low * high) if domain.kind.startswith("log") else (low + high) / 2
    return round(middle) if isinstance(domain, Integer) else middle


def _value(domain: Real | Integer | Choice, value: Any) -> Any:
    """Within the bounds, which exp(log(high)) need not be; of quniform, one of its multiples."""
    return domain.rounded(value) if isinstance(domain, Real) else value
