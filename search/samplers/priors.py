"""Draws from the priors of a space now and then, and leaves the other trials to another sampler."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from search.space.domains import Domain
from search.space.priors import draw_prior

SHARE = 0.5
"""Of the startup trials that are drawn from the priors, on average."""
_WORD = zlib.crc32(b"prior")


class PriorSampler(BaseSampler):
    """Draws the parameters that have a prior from it in some of the trials, and the rest by another sampler.

    Half of the startup trials are such, on average, and after them a share that falls as 1 / number of the
    trial, so that the number of those that a wrong prior costs grows with the logarithm of all (the decay is
    that of piBO, Hvarfner et al., arXiv:2204.11051). Which trials, and what they get, follows from (seed,
    trial number) alone. The other sampler learns from all of them.

    Args:
        sampler: draws everything else.
        priors: the domains that have one, by name.
        seed: of the search.
        startup_trials: trials before the share falls.
    """

    def __init__(
        self, sampler: BaseSampler, priors: dict[str, Domain], *, seed: int, startup_trials: int
    ) -> None:
        self._sampler, self._priors, self._seed = sampler, priors, seed
        self._startup_trials = max(1, startup_trials)

    def share(self, number: int) -> float:
        """The probability that trial `number` is drawn from the priors."""
        return SHARE * min(1.0, self._startup_trials / max(1, number))

    def takes_priors(self, number: int) -> bool:
        """Whether trial `number` is drawn from the priors."""
        return self._random(number) < self.share(number)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        values = self._sampler.sample_relative(study, trial, search_space)
        if not self.takes_priors(trial.number):
            return values
        return {name: value for name, value in values.items() if name not in self._priors}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        domain = self._priors.get(param_name)
        if domain is not None and self.takes_priors(trial.number):
            return draw_prior(domain, self._random(trial.number, zlib.crc32(param_name.encode())))
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def _random(self, number: int, *words: int) -> float:
        """A number from 0 to 1 that no other draw shares."""
        return float(np.random.default_rng([self._seed, number, *words, _WORD, 1]).random())
