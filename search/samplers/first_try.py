"""Draws a few trials from a sampler that is imported by its path, before a search relies on it."""

from __future__ import annotations

from datetime import datetime

from optuna.samplers import RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.config.sections.sampler import ImportedSampler, Sampler
from search.errors import ConfigError, Problem
from search.samplers.samplers import ViewSampler
from search.space.space import Space
from search.study.in_memory import PendingTrial, frozen_trial, study_showing

_NUM_ENDED, _NUM_DRAWN = 24, 3
_BEGAN = datetime(2000, 1, 1)


def try_sampler(options: Sampler | ImportedSampler, space: Space, where: str) -> None:
    """Draw from this space, with some trials that have ended.

    Raises:
        ConfigError: at `where`: the sampler cannot be made, or raises.
    """
    if not isinstance(options, ImportedSampler) or not space.names:
        return
    ended = _ended(space)
    sampler = ViewSampler(options, lambda: ended)
    study = study_showing(lambda: ended, StudyDirection.MAXIMIZE)
    try:
        for number in range(_NUM_ENDED, _NUM_ENDED + _NUM_DRAWN):
            space.suggest(PendingTrial(number, {}, sampler, study))
    except Exception as error:  # of code that this program does not know
        cause = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        message = f"{options.name} cannot draw a trial of this space: {cause}"
        raise ConfigError([Problem(where, "sampler.name", message)]) from error


def _ended(space: Space) -> list[FrozenTrial]:
    """Random trials, each better than the one before."""
    study = study_showing(list, StudyDirection.MAXIMIZE)
    found = []
    for number in range(_NUM_ENDED):
        drawn = PendingTrial(number, {}, RandomSampler(seed=number), study)
        space.suggest(drawn)
        fields = {"state": TrialState.COMPLETE, "value": number / _NUM_ENDED}
        dates = {"datetime_start": _BEGAN, "datetime_complete": _BEGAN}
        found.append(frozen_trial(number, drawn.params, drawn.distributions, **fields, **dates))
    return found
