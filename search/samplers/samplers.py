"""Samplers whose draws are a function of (seed, trial number) and of one view of the study."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search.config.sections.sampler import ImportedSampler, Sampler
from search.samplers.kernels import with_one_width
from search.study.in_memory import study_showing
from search.study.patches import NumberedQMCSampler
from trainables.findings import a_type
from trainables.imported import call, takes


class ViewSampler(BaseSampler):
    """Hands each trial to a new sampler, seeded by (seed, trial number), over a view of the study.

    A parameter that is drawn alone comes from (seed, trial number, its name), whatever was drawn before it.

    Args:
        options: the section `sampler:`.
        view: returns the trials that the sampler sees, with halving scores, which are maximized.
        one_width: tpe's kernels are as wide as Scott's rule says, see `kernels`.
    """

    def __init__(
        self,
        options: Sampler | ImportedSampler,
        view: Callable[[], list[FrozenTrial]],
        *,
        one_width: bool = False,
    ) -> None:
        self._options, self._one_width = options, one_width
        self._view = view
        self._current: tuple[int, BaseSampler, optuna.Study] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        # Called first for each trial, so the whole trial is drawn from one view.
        shown = study_showing(self._view, StudyDirection.MAXIMIZE)
        sampler = self._new_sampler(trial.number)
        self._current = trial.number, sampler, shown
        return sampler.infer_relative_search_space(shown, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        _, sampler, shown = self._of(trial)
        return sampler.sample_relative(shown, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        _, _, shown = self._of(trial)
        sampler = self._new_sampler(trial.number, zlib.crc32(param_name.encode()))
        return sampler.sample_independent(shown, trial, param_name, param_distribution)

    def _of(self, trial: FrozenTrial) -> tuple[int, BaseSampler, optuna.Study]:
        assert self._current is not None
        assert self._current[0] == trial.number
        return self._current

    def _new_sampler(self, number: int, *words: int) -> BaseSampler:
        """The Optuna sampler that `sampler:` names, for one trial or parameter; grids come as points."""
        options = self._options
        seed = int(np.random.SeedSequence([options.seed, number, *words]).generate_state(1)[0])
        if isinstance(options, ImportedSampler):
            return _imported(options, seed)
        startup = options.startup_trials
        with warnings.catch_warnings():
            # Conditional spaces and QMC are experimental in Optuna, whose version is pinned.
            warnings.simplefilter("ignore", ExperimentalWarning)
            match options.name:
                case "tpe":
                    tpe = TPESampler(
                        seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True
                    )
                    return with_one_width(tpe) if self._one_width else tpe
                case "gp":
                    return GPSampler(seed=seed, n_startup_trials=startup)
                case "qmc":
                    # One scrambled sequence for the whole search; parameters outside of it are random.
                    return NumberedQMCSampler(
                        number,
                        seed=options.seed,
                        scramble=True,
                        independent_sampler=RandomSampler(seed=seed),
                        warn_independent_sampling=False,
                    )
                case "random" | "grid":
                    return RandomSampler(seed=seed)


def _imported(options: ImportedSampler, seed: int) -> BaseSampler:
    """The sampler at a path.

    Raises:
        ValueError: it cannot be made, or is none.
    """
    own = "seed" in options.arguments or not takes(options.name, "seed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        made = call(options.name, options.arguments if own else {"seed": seed, **options.arguments})
    if not isinstance(made, BaseSampler):
        raise ValueError(f"{options.name} returned {a_type(made)}; must be an optuna.samplers.BaseSampler")
    return made
