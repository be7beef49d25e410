"""NePS with priors: PriorBand, and PriMO, which is made for several objectives, with one.

PriMO begins with ASHA without priors, and its Gaussian process with the priors comes in after as many full
trainings as there are parameters. That process knows nothing of what is running, and gives a configuration
the number of one that does: it is asked by one worker, which costs it no compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import neps
import numpy as np
import torch

from benchmarks.efficiency.methods_neps import REDUCTION_FACTOR, Neps, active_params, flat_space
from benchmarks.efficiency.problems import LENGTH, Problem
from benchmarks.efficiency.simulate import Job, simulate
from benchmarks.efficiency.surrogate import Surrogate
from search.space.domains import Confidence

METHODS = ("NePS PriorBand", "NePS PriorBand, prior first", "NePS PriMO")
_CONFIDENCES: Mapping[Confidence, float] = {"low": 0.5, "medium": 0.75, "high": 0.9}
"""Those of NePS."""
_FIDELITY, _OBJECTIVE = "virtual_epochs", "value"


class PriMO:
    """NePS's PriMO with one objective, which it takes as a list."""

    def __init__(self, problem: Problem, optimizer: neps.AskAndTell) -> None:
        self._problem, self._optimizer = problem, optimizer
        self._running: dict[int, neps.Trial] = {}
        self._numbers: dict[str, int] = {}
        self._depths: dict[int, int] = {}

    def next_job(self) -> Job:
        """A new trial, or the next rung of one that ASHA has promoted; later always a full training."""
        asked = self._optimizer.ask()
        # What its Gaussian process gives has no rung, and may have the number of another trial.
        name = asked.id.split("_rung_")[0] if "_rung_" in asked.id else f"process {asked.id}"
        number = self._numbers.setdefault(name, len(self._numbers))
        self._running[number] = asked
        return Job(number, active_params(self._problem, asked.config), self._depths.get(number, 0))

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        asked = self._running[trial]
        if virtual_epoch < asked.config[_FIDELITY]:
            return True
        self._depths[trial] = virtual_epoch
        self._optimizer.tell(asked, [-self._problem.sign * value])
        return False


def values_of(
    method: str,
    surrogate: Surrogate,
    priors: Mapping[str, Any],
    confidence: Confidence,
    *,
    budgets: tuple[int, ...],
    seed: int,
) -> list[float | None]:
    """The best value at each budget of one simulated search, None before the first."""
    np.random.seed(seed)
    torch.manual_seed(seed)
    problem = surrogate.problem
    if method == "NePS PriMO":
        made: Neps | PriMO = PriMO(problem, neps.AskAndTell(_primo(problem, priors, confidence)))
    else:
        space = flat_space(problem, priors, confidence)
        first: Any = "highest_fidelity" if method.endswith("prior first") and priors else False
        made = Neps(
            problem,
            neps.AskAndTell(neps.algorithms.priorband(space, eta=REDUCTION_FACTOR, sample_prior_first=first)),
        )
    workers = 1 if method == "NePS PriMO" else 4
    trace = simulate(surrogate, made, seed=seed, budget=max(budgets) * LENGTH, num_workers=workers)
    return [trace.at(budget * LENGTH) for budget in budgets]


def _primo(problem: Problem, priors: Mapping[str, Any], confidence: Confidence) -> Any:
    sure = dict.fromkeys(priors, _CONFIDENCES[confidence])
    return neps.algorithms.primo(
        flat_space(problem, {}, confidence),
        eta=REDUCTION_FACTOR,
        prior_centers={_OBJECTIVE: dict(priors)} if priors else {},
        prior_confidences={_OBJECTIVE: sure} if priors else None,
    )
