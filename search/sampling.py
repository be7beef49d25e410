"""Samplers whose draws are a function of (seed, trial number) and of one view of the study."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.early_stopping import Mode, Rungs
from search.study import Outcome, SearchStudy, TrialRecord

if TYPE_CHECKING:
    from search.config import Config

_EPOCH = datetime(2000, 1, 1)


def halving_scores(records: Sequence[TrialRecord], rungs: Rungs, mode: Mode) -> dict[int, float]:
    """Trials of any depth on one scale from 0 to 1: first how deep a rung was reached, then the objective.

    A trial that diverged or ran out of memory is below all others; one that failed by an error is left out,
    for the error says nothing about its parameters.
    """
    sign = 1.0 if mode == "max" else -1.0
    bad = (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY)
    keys: dict[int, tuple[float, float]] = {}
    for record in records:
        if record.outcome in bad:
            keys[record.number] = (-1.0, 0.0)
        elif record.values and record.outcome is not Outcome.FAILED:
            best = record.best(mode)
            assert best is not None
            level = rungs.level(record) + (record.outcome is Outcome.COMPLETED)
            keys[record.number] = (float(level), sign * best)
    order = sorted(set(keys.values()))
    place = {key: index / max(1, len(order) - 1) for index, key in enumerate(order)}
    return {number: place[key] for number, key in keys.items()}


def view_trials(study: SearchStudy, frozen: Sequence[FrozenTrial], rungs: Rungs) -> list[FrozenTrial]:
    """What samplers learn from: each trial once, comparable across depths.

    A trial that is being trained at this moment stays RUNNING; every other one that has something to say is
    COMPLETE with its halving score, to be maximized. Optuna's own view would ignore paused trials or take
    them for bad, and would compare values of different depths.
    """
    scores = halving_scores(study.records, rungs, study.mode)
    running = {record.number for record in study.records if record.running}
    view = []
    for trial in frozen:
        if trial.number in running:
            view.append(trial)
        elif trial.number in scores:
            view.append(
                FrozenTrial(
                    number=trial.number,
                    state=TrialState.COMPLETE,
                    value=scores[trial.number],
                    datetime_start=_EPOCH,
                    datetime_complete=_EPOCH,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs={},
                    system_attrs=trial.system_attrs,
                    intermediate_values={},
                    trial_id=trial._trial_id,
                )
            )
    return view


class _StudyView:
    """An Optuna study with other trials and the direction of the halving score."""

    direction = StudyDirection.MAXIMIZE
    directions = (StudyDirection.MAXIMIZE,)

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        self._study = study
        self._trials = list(trials)

    @property
    def trials(self) -> list[FrozenTrial]:
        return self._trials

    def get_trials(
        self, deepcopy: bool = True, states: Collection[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [t for t in self._trials if states is None or t.state in states]

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Collection[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        return self.get_trials(deepcopy, states)

    def _is_multi_objective(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


class ViewSampler(BaseSampler):
    """Hands each trial to a sampler made anew from (seed, trial number), over a view of the study.

    What is drawn for one parameter alone comes from (seed, trial number, its name): a trial that was killed
    while its parameters were drawn gets the others that it would have got.

    Args:
        make: a sampler from its own seed and the trial's number.
        seed: of the search.
        view: what the sampler sees of the trials that Optuna has.
    """

    def __init__(
        self,
        make: Callable[[int, int], BaseSampler],
        seed: int,
        view: Callable[[Sequence[FrozenTrial]], list[FrozenTrial]],
    ) -> None:
        self._make = make
        self._seed = seed
        self._view = view
        self._current: tuple[int, BaseSampler, Any] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        sampler, view = self._for(study, trial)
        return sampler.infer_relative_search_space(view, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        sampler, view = self._for(study, trial)
        return sampler.sample_relative(view, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        _, view = self._for(study, trial)
        sampler = self._new_sampler(trial.number, zlib.crc32(param_name.encode()))
        return sampler.sample_independent(view, trial, param_name, param_distribution)

    def _for(self, study: optuna.Study, trial: FrozenTrial) -> tuple[BaseSampler, Any]:
        if self._current is None or self._current[0] != trial.number:
            sampler = self._new_sampler(trial.number)
            view = _StudyView(study, self._view(study.get_trials(deepcopy=False)))
            self._current = (trial.number, sampler, view)
        return self._current[1], self._current[2]

    def _new_sampler(self, number: int, *words: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self._seed, number, *words]).generate_state(1)[0])
        with warnings.catch_warnings():
            # Conditional spaces and QMC are what Optuna calls experimental; the versions are pinned.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._make(seed, number)


class _NumberedQMCSampler(optuna.samplers.QMCSampler):
    """Gives trial n the n-th point of its sequence, where Optuna counts the points that were asked for."""

    def __init__(self, number: int, **options: Any) -> None:
        super().__init__(**options)
        self._number = number

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


def sampler_factory(config: Config) -> Callable[[int, int], BaseSampler]:
    """The sampler that `sampler:` names, as a function of a seed and the number of the trial that it is for.

    A grid is handed out as known points.
    """
    options, samplers = config.sampler, optuna.samplers
    startup = options.startup_trials
    if options.name == "tpe":
        return lambda seed, _: samplers.TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True
        )
    if options.name == "gp":
        return lambda seed, _: samplers.GPSampler(seed=seed, n_startup_trials=startup)
    if options.name == "cmaes":
        return lambda seed, _: samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    if options.name == "qmc":
        # One scrambled sequence for the whole search; what lies outside of it is drawn at random.
        return lambda seed, number: _NumberedQMCSampler(
            number,
            seed=options.seed,
            scramble=True,
            independent_sampler=samplers.RandomSampler(seed=seed),
            warn_independent_sampling=False,
        )
    return lambda seed, _: samplers.RandomSampler(seed=seed)
