"""Samplers whose draws are a function of (seed, trial number) and of one view of the study."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.errors import SearchError
from search.samplers.encoding import SpaceEncoding
from search.samplers.forest import ForestSampler
from search.schedulers.early_stopping import Mode, Rungs
from search.space.space import Space
from search.study.study import Outcome, SearchStudy, TrialRecord
from search.study.suggest import Draw, UnknownParameterError

if TYPE_CHECKING:
    from search.config.config import Config

_EPOCH = datetime(2000, 1, 1)


MAX_LEARNED = 600
"""Scored trials that a sampler sees: more would only make it slower."""
_BEST_LEARNED = 150


def halving_scores(records: Sequence[TrialRecord], rungs: Rungs, mode: Mode) -> dict[TrialRecord, float]:
    """Trials of any depth on one scale from 0 to 1: first how deep a rung was reached, then the objective.

    Full length counts as one rung more, unless another trial has gone further since. A trial that diverged
    or ran out of memory is below all others; one that failed by an error is left out, for the error says
    nothing about its parameters.
    """
    scores = _Scores(records, rungs, mode)
    return {record: score for record, score in scores() if score is not None}


class _Scores:
    """Halving scores that follow each change of a study.

    Args:
        records: of which `update` then tells every change.
    """

    def __init__(self, records: Sequence[TrialRecord], rungs: Rungs, mode: Mode) -> None:
        self._rungs, self._mode = rungs, mode
        self._keys: dict[TrialRecord, tuple[float, float, bool]] = {}
        """Rungs, objective (larger is better), and whether that is all that was asked for."""
        self._longest = 0
        for record in records:
            self.update(record)

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        self._longest = max(self._longest, record.depth)
        self._keys.pop(record, None)
        if record.outcome in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY):
            self._keys[record] = (-1.0, 0.0, False)
        elif record.values and record.outcome is not Outcome.FAILED:
            best = record.best(self._mode)
            assert best is not None
            level, completed = self._rungs.level(record), record.outcome is Outcome.COMPLETED
            self._keys[record] = (float(level), best if self._mode == "max" else -best, completed)

    def __call__(self) -> Iterator[tuple[TrialRecord, float]]:
        """Each trial that has something to say, with its score, the worst first."""
        # Numbers before records, which have no order; in a tie those of the history come first.
        ranked = sorted(
            (level + (completed and record.depth == self._longest), value, record.number, place, record)
            for place, (record, (level, value, completed)) in enumerate(self._keys.items())
        )
        places: list[int] = []
        before = None
        for level, value, *_ in ranked:
            places.append(places[-1] + (before != (level, value)) if places else 0)
            before = (level, value)
        highest = max(1, places[-1]) if places else 1
        return ((record, place / highest) for place, (*_, record) in zip(places, ranked, strict=True))


class StudyView:
    """What samplers learn from: each trial once, comparable across depths, as a trial of the current space.

    A trial that is being trained and has shown nothing is RUNNING; every other one that has something to
    say, also in the study's history, is COMPLETE with its halving score, to be maximized. Optuna's own view
    would ignore paused trials or take them for bad, as it does those that are being trained, and would
    compare values of different depths. A trial of another space is left out where its values lie outside of
    the current one. Of more than MAX_LEARNED that are scored, the best and an even choice of the others are
    shown.
    """

    def __init__(self, study: SearchStudy, rungs: Rungs) -> None:
        self._study, self._rungs = study, rungs
        self._drawn: dict[TrialRecord, Draw | None] = {}
        self._places = {record: place for place, record in enumerate(study.history)}

    def __call__(self) -> list[FrozenTrial]:
        study = self._study
        scores = study.indexes.get(("halving scores", self._rungs), self._scores)
        # A trial that goes on is one of the best: what it has shown so far counts meanwhile.
        shown: dict[TrialRecord, float | None] = dict(_thinned(list(scores())))
        shown |= {record: None for record in study.records if record.running and not record.values}
        view = []
        for record, score in shown.items():
            own = record not in self._places
            drawn = self._in_this_space(record, own=own)
            if drawn is not None:
                place = len(study.history) + record.number if own else self._places[record]
                view.append(_frozen(place, drawn, score))
        return sorted(view, key=lambda frozen: frozen.number)

    def _scores(self) -> _Scores:
        return _Scores([*self._study.history, *self._study.records], self._rungs, self._study.mode)

    def _in_this_space(self, record: TrialRecord, *, own: bool) -> Draw | None:
        """The parameters as if they had been drawn from the current space; None if they cannot have been."""
        if record not in self._drawn:
            same = own and record.space == self._study.space_number
            self._drawn[record] = _drawn(self._study.space, record, same)
        return self._drawn[record]


def _thinned(scored: list[tuple[TrialRecord, float]]) -> list[tuple[TrialRecord, float]]:
    """About MAX_LEARNED of the trials, which come worst first: the best, and some of the others.

    Of the others those with every second, fourth, … number: the same ones from one ask to the next.
    """
    if len(scored) <= MAX_LEARNED:
        return scored
    others, stride = scored[:-_BEST_LEARNED], 2
    while len(others) // stride > MAX_LEARNED - _BEST_LEARNED:
        stride *= 2
    return [*(item for item in others if item[0].number % stride == 0), *scored[-_BEST_LEARNED:]]


def _drawn(space: Space, record: TrialRecord, same: bool) -> Draw | None:
    try:
        params = record.resolved.params if same else space.params_of(record.resolved.options)
        draw = Draw(record.number, params)
        space.suggest(draw)
    except (SearchError, UnknownParameterError):
        return None
    return draw


def _frozen(number: int, drawn: Draw, score: float | None) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState.RUNNING if score is None else TrialState.COMPLETE,
        value=score,
        datetime_start=_EPOCH,
        datetime_complete=None if score is None else _EPOCH,
        params=drawn.params,
        distributions=drawn.distributions,
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


class _Shown:
    """As much of an Optuna study as a sampler looks at: these trials, and the halving score's direction."""

    direction = StudyDirection.MAXIMIZE
    directions = (StudyDirection.MAXIMIZE,)
    _study_id = 0

    class _storage:  # noqa: N801
        """Where samplers leave notes for other processes; there are none."""

        @staticmethod
        def set_trial_system_attr(trial_id: int, key: str, value: Any) -> None: ...

    def __init__(self, view: Callable[[], list[FrozenTrial]]) -> None:
        self._view = view

    @cached_property
    def trials(self) -> list[FrozenTrial]:
        """Made when a sampler looks at them, which not all do."""
        return self._view()

    def get_trials(
        self, deepcopy: bool = True, states: Collection[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [t for t in self.trials if states is None or t.state in states]

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Collection[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        return self.get_trials(deepcopy, states)

    def _is_multi_objective(self) -> bool:
        return False


class ViewSampler(BaseSampler):
    """Hands each trial to a sampler made anew from (seed, trial number), over a view of the study.

    What is drawn for one parameter alone comes from (seed, trial number, its name), whatever was drawn
    before it.

    Args:
        make: a sampler from its own seed and the trial's number.
        seed: of the search.
        view: what the sampler sees.
    """

    def __init__(
        self,
        make: Callable[[int, int], BaseSampler],
        seed: int,
        view: Callable[[], list[FrozenTrial]],
    ) -> None:
        self._make = make
        self._seed = seed
        self._view = view
        self._current: tuple[int, BaseSampler, Any] | None = None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        # The first thing that is asked for a trial: from here on it is drawn from one view.
        self._current = (trial.number, self._new_sampler(trial.number), _Shown(self._view))
        _, sampler, shown = self._current
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

    def _of(self, trial: FrozenTrial) -> tuple[int, BaseSampler, Any]:
        assert self._current is not None
        assert self._current[0] == trial.number
        return self._current

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
    if options.name == "forest":
        encoding = SpaceEncoding(config.space)
        return lambda seed, _: ForestSampler(encoding, seed, startup_trials=startup)
    if options.name == "tpe":
        return lambda seed, _: samplers.TPESampler(
            seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True
        )
    if options.name == "gp":
        return lambda seed, _: samplers.GPSampler(seed=seed, n_startup_trials=startup)
    if options.name == "cmaes":
        # Imported for those who use it: it brings scipy.stats, a second of every other search's start.
        from search.samplers.cmaes import ReplayedCmaEsSampler

        return lambda seed, _: ReplayedCmaEsSampler(seed)
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
