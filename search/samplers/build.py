"""Make the sampler of a search."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from search.config.config import Config
from search.config.sections.sampler import ImportedSampler, Sampler
from search.samplers.kernels import DEFAULT_KERNELS
from search.samplers.priors import PriorSampler
from search.samplers.samplers import ViewSampler
from search.samplers.view import DEFAULT_SCORES, MIN_TRIALS, StudyView
from search.schedulers.base import Scheduler
from search.space.priors import priors_of
from search.space.space import Space
from search.study.scores import began_with
from search.study.study import SearchStudy


def sampler_of(study: SearchStudy, scheduler: Scheduler, config: Config) -> BaseSampler:
    """The sampler of a search, by the scores and kernels that it names or the study began with."""
    options = config.sampler
    scores = options.scores or began_with(study, "scores", DEFAULT_SCORES, first="halving")
    named = options.kernels if isinstance(options, Sampler) else None
    kernels = named or began_with(study, "kernels", DEFAULT_KERNELS, first="gaps")
    view = StudyView(
        study,
        scheduler.rungs,
        earned=partial(scheduler.earned, study),
        min_trials=MIN_TRIALS[scores],
        limits=config.limits,
        objectives=config.objectives or (),
    )
    return build_sampler(options, config.space, view, one_width=kernels == "one_width")


def build_sampler(
    options: Sampler | ImportedSampler,
    space: Space,
    view: Callable[[], list[FrozenTrial]],
    *,
    one_width: bool = False,
) -> BaseSampler:
    """The sampler that `sampler:` names, and the priors of the space.

    Args:
        view, one_width: see `ViewSampler`.
    """
    sampler = ViewSampler(options, view, one_width=one_width)
    priors = priors_of(space.root)
    if not priors:
        return sampler
    startup = Sampler().startup_trials if isinstance(options, ImportedSampler) else options.startup_trials
    return PriorSampler(sampler, priors, seed=options.seed, startup_trials=startup)
