"""What samplers learn from: the trials of a study, comparable across depths."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from search.config.schema import Mode, Objective
from search.config.sections.limits import Limits
from search.config.sections.sampler import Scores
from search.errors import SearchError
from search.schedulers.base import Rungs
from search.study.front import best_first, losses_of
from search.study.in_memory import PendingTrial, UnknownParameterError, frozen_trial
from search.study.study import SearchStudy
from search.study.trial import Outcome, TrialRecord, as_loss

_EPOCH = datetime(2000, 1, 1)

MIN_TRIALS: Mapping[str, int] = {"halving": 1, "capped": 30}
"""Trials that make a rung count in the scores, see HalvingScores."""
DEFAULT_SCORES: Scores = "halving"
"""Of new studies."""
MAX_LEARNED = 600
"""Scored trials that a sampler sees; more would only slow it down."""
_BEST_LEARNED = 150

_Place = tuple[float, float, int, int, TrialRecord]
"""Level, value, number, when it came among those of that number, and the trial."""


class HalvingScores:
    """Trials of any depth on one scale from 0 to 1: first how deep a rung was reached, then the objective.

    Full length counts as one rung more, unless another trial has gone further since. A trial that diverged,
    ran out of memory or is over a limit is below all others; one that failed is left out, since the error
    says nothing about its parameters, and so is one of other data, whose values do not compare. One that is
    audited counts as it stood at the first rung, since it has not earned its depth, and one that `earned`
    says this of as it stood at that rung.

    With `min_trials`, depth counts only up to the deepest rung that so many trials have reached: those that
    are at it or beyond are compared by their values there. Else each promotion raises a score by itself, and
    more trials are drawn around the first few that were promoted, whether or not these are the best.

    Args:
        records: the trials; `update` is called with every later change.
        rungs: where trials are compared.
        mode: whether larger or smaller is better.
        min_trials: trials that make a rung count; 1 lets every rung count.
        earned: index of the rung as of which a trial counts that passed one without a pause; None: of all.
    """

    def __init__(
        self,
        records: Sequence[TrialRecord],
        rungs: Rungs,
        mode: Mode,
        *,
        min_trials: int = 1,
        earned: Callable[[TrialRecord], int | None] = lambda record: None,
    ) -> None:
        self._rungs, self._mode, self._min_trials, self._earned = rungs, mode, min_trials, earned
        self._passed: dict[TrialRecord, None] = {}
        """Those that passed a rung without a pause."""
        self._keys: dict[TrialRecord, tuple[float, float, bool]] = {}
        """Rung index, objective (larger is better), and whether it was trained to full length."""
        self._values: dict[TrialRecord, tuple[float, float]] = {}
        """The rung last compared at, and the objective there."""
        self._levels: dict[TrialRecord, float] = {}
        """The rung that each trial has reached; -1 for one below all others."""
        self._num_at: Counter[float] = Counter()
        """Number of trials at each level."""
        self._order: list[_Place] | None = None
        """All by level, up to the cap, and value, the worst first; None until asked for, and where levels
        have changed of other trials than the one that did."""
        self._cap = math.inf
        """The level at which depth stops to count in `_order`."""
        self._places: dict[TrialRecord, _Place] = {}
        self._next = 0
        """Position in a tie of the next trial that changes: after all others."""
        self._longest = 0
        for record in records:
            self.update(record)

    def update(self, record: TrialRecord) -> None:
        """The record is new or has changed."""
        self._keys.pop(record, None)
        self._values.pop(record, None)
        self._set_key(record)
        if record.bracket and self._keys.get(record, (0, 0, False))[0] > 0:
            self._passed[record] = None
        else:
            self._passed.pop(record, None)
        if record.depth > self._longest:
            self._longest, self._order = record.depth, None
            self._levels, self._num_at = {}, Counter()
            for each in self._keys:
                self._set_level(each)
        else:
            self._set_level(record)
        if self._order is not None:
            self._move(self._order, record)

    def _set_key(self, record: TrialRecord) -> None:
        if record.of_other_data:
            return
        if record.outcome in (Outcome.DIVERGED, Outcome.OUT_OF_MEMORY, Outcome.OVER_LIMIT):
            self._keys[record] = (-1.0, 0.0, False)
        elif record.values and record.outcome is not Outcome.FAILED:
            best = record.best(self._mode)
            assert best is not None
            index, completed = self._rungs.index(record), record.outcome is Outcome.COMPLETED
            if record.audited and index:  # it has not earned its depth
                first = self._rungs.value_at(record, 1, self._mode)
                index, completed, best = 1, False, best if first is None else first
            self._keys[record] = (float(index), -as_loss(best, self._mode), completed)

    def __call__(self) -> Iterator[tuple[TrialRecord, float]]:
        """Each trial that has a score, the worst first.

        Lazily, over an order that changes with the next report: to be used up before it.
        """
        ranked = self._as_earned(self._in_order())
        ranks: list[int] = []
        rank, level, value = -1, math.nan, math.nan
        for place in ranked:
            if place[0] != level or place[1] != value:
                rank, level, value = rank + 1, place[0], place[1]
            ranks.append(rank)
        highest = max(1, ranks[-1]) if ranks else 1
        return ((place[-1], rank / highest) for rank, place in zip(ranks, ranked, strict=True))

    @property
    def num_scored(self) -> int:
        """Number of trials that have a score."""
        return len(self._keys)

    def _in_order(self) -> list[_Place]:
        """All by level and value; one report of thousands of trials changes few places."""
        cap = self._cap_of_now()
        if self._order is None or cap != self._cap:
            self._cap = cap
            self._order = sorted(self._place(record, position) for position, record in enumerate(self._keys))
            self._places = {place[-1]: place for place in self._order}
            self._next = len(self._order)
        return self._order

    def _as_earned(self, order: list[_Place]) -> list[_Place]:
        """The order with those that passed a rung where they count; it depends on all others."""
        moved = [(record, at) for record in self._passed if (at := self._earned(record)) is not None]
        if not moved:
            return order
        order = list(order)
        for record, at in moved:
            del order[bisect_left(order, self._places[record])]
            level = int(min(at, self._cap))
            value = self._rungs.value_at(record, level, self._mode)
            assert value is not None
            insort(order, (level, -as_loss(value, self._mode), *self._places[record][2:]))
        return order

    def _move(self, order: list[_Place], record: TrialRecord) -> None:
        """Take a trial from its place to the one that it has now, if any."""
        old = self._places.pop(record, None)
        if old is not None:
            del order[bisect_left(order, old)]
        if record in self._keys:
            new = self._places[record] = self._place(record, self._next)
            insort(order, new)
            self._next += 1

    def _place(self, record: TrialRecord, position: int) -> _Place:
        # Numbers before records, which have no order; in a tie those of the history come first.
        level, value = min(self._levels[record], self._cap), self._value(record, self._cap)
        return level, value, record.number, position, record

    def _set_level(self, record: TrialRecord) -> None:
        if record in self._levels:
            self._num_at[self._levels.pop(record)] -= 1
        if record in self._keys:
            index, _, completed = self._keys[record]
            level = self._levels[record] = index + (completed and record.depth == self._longest)
            self._num_at[level] += 1

    def _cap_of_now(self) -> float:
        """The deepest rung that `min_trials` trials have reached, at least the first."""
        if self._min_trials <= 1:
            return math.inf
        reached = 0
        for level in sorted(self._num_at, reverse=True):
            reached += self._num_at[level]
            if reached >= self._min_trials:
                return max(1.0, level)
        return 1.0

    def _value(self, record: TrialRecord, cap: float) -> float:
        """The objective up to the rung `cap`, larger is better; all of it where the trial is below."""
        index, value, _ = self._keys[record]
        if not 1 <= cap <= index:
            return value
        if record not in self._values or self._values[record][0] != cap:
            there = self._rungs.value_at(record, int(cap), self._mode)
            assert there is not None
            self._values[record] = cap, -as_loss(there, self._mode)
        return self._values[record][1]


class FrontScores(HalvingScores):
    """Halving scores where trials of one rung are ordered as at the rung: by non-domination, then crowding.

    A sampler of one value thus learns where the front is, as the tree-structured Parzen estimator of several
    objectives does, which splits trials by non-dominated rank (MOTPE, Ozaki et al., GECCO 2020).

    Args:
        records, rungs, min_trials: see HalvingScores.
        objectives: the first chooses the virtual epoch of a trial.
    """

    def __init__(
        self,
        records: Sequence[TrialRecord],
        rungs: Rungs,
        objectives: Sequence[Objective],
        *,
        min_trials: int = 1,
    ) -> None:
        self._objectives = objectives
        super().__init__(records, rungs, objectives[0].mode, min_trials=min_trials)

    def __call__(self) -> Iterator[tuple[TrialRecord, float]]:
        """Each trial that has a score, the worst first."""
        cap = self._cap_of_now()
        groups: dict[float, list[TrialRecord]] = {}
        for record, level in ((record, self._levels[record]) for record in self._keys):
            groups.setdefault(min(level, cap), []).append(record)
        ordered: list[TrialRecord] = []
        for level in sorted(groups):
            members = groups[level]
            if level >= 0:
                losses = [self._losses(record, level) for record in members]
                members = [members[position] for position in reversed(best_first(losses))]
            ordered += members
        alike = max(0, len(groups.get(-1.0, ())) - 1)
        ranks = [max(0, position - alike) for position in range(len(ordered))]
        highest = max(1, ranks[-1]) if ranks else 1
        return ((record, rank / highest) for rank, record in zip(ranks, ordered, strict=True))

    def _losses(self, record: TrialRecord, level: float) -> tuple[float, ...]:
        depth = self._rungs.depth_at(record, int(level)) if level >= 1 else None
        return losses_of(record, self._objectives, depth)


class StudyView:
    """What samplers learn from: each trial once, comparable across depths, as a trial of the current space.

    A running trial without a report is RUNNING; every other trial with a score, also in the study's history,
    is COMPLETE with its halving score, to be maximized. Optuna's own view would ignore paused and running
    trials or take them for bad, and compare values of different depths. A trial of another space is left out
    if its values lie outside of the current one. Of more than MAX_LEARNED scored trials, the best and an even
    choice of the others are shown.

    Args:
        study: the search's.
        rungs: where trials are compared.
        min_trials, earned: see HalvingScores.
        limits: of which each trial shows as a constraint by how much it exceeds them; tpe and gp then learn
            where trials are within them.
        objectives: where there are several.
    """

    def __init__(
        self,
        study: SearchStudy,
        rungs: Rungs,
        *,
        min_trials: int = 1,
        limits: Limits | None = None,
        objectives: Sequence[Objective] = (),
        earned: Callable[[TrialRecord], int | None] = lambda record: None,
    ) -> None:
        self._study, self._rungs, self._min_trials, self._limits = study, rungs, min_trials, limits
        self._earned = earned
        self._objectives = tuple(objectives)
        self._drawn: dict[TrialRecord, PendingTrial | None] = {}
        self._in_history = {record: number for number, record in enumerate(study.history)}

    def __call__(self) -> list[FrozenTrial]:
        study = self._study
        scores = study.indexes.get(
            ("halving scores", self._rungs, self._min_trials, self._objectives, self._earned),
            lambda: self._scores([*study.history, *study.records]),
        )
        # A trial that continues is one of the best: its values so far count meanwhile.
        shown: dict[TrialRecord, float | None] = dict(_thinned(scores(), scores.num_scored))
        shown |= {record: None for record in study.records if record.running and not record.values}
        view = []
        for record, score in shown.items():
            own = record not in self._in_history
            drawn = self._in_this_space(record, own=own)
            if drawn is not None:
                number = len(study.history) + record.number if own else self._in_history[record]
                fields: dict[str, Any] = {"datetime_start": _EPOCH}
                if score is not None:
                    fields |= {"state": TrialState.COMPLETE, "value": score, "datetime_complete": _EPOCH}
                view.append(frozen_trial(number, drawn.params, drawn.distributions, **fields))
                for name, excess in self._limits.excess(record.measured).items() if self._limits else ():
                    view[-1].set_constraint(name, excess)
        return sorted(view, key=lambda frozen: frozen.number)

    def _scores(self, records: Sequence[TrialRecord]) -> HalvingScores:
        if self._objectives:
            return FrontScores(records, self._rungs, self._objectives, min_trials=self._min_trials)
        return HalvingScores(
            records, self._rungs, self._study.mode, min_trials=self._min_trials, earned=self._earned_here
        )

    def _earned_here(self, record: TrialRecord) -> int | None:
        """Those of an older study were compared there."""
        return None if record in self._in_history else self._earned(record)

    def _in_this_space(self, record: TrialRecord, *, own: bool) -> PendingTrial | None:
        """The parameters as if drawn from the current space; None if they cannot have been."""
        if record not in self._drawn:
            space, self._drawn[record] = self._study.space, None
            same = own and record.space_number == self._study.space_number
            with suppress(SearchError, UnknownParameterError):
                params = record.params if same else space.params_of(record.resolved.options)
                pending = PendingTrial(record.number, params)
                space.suggest(pending)
                self._drawn[record] = pending
        return self._drawn[record]


def _thinned(scored: Iterable[tuple[TrialRecord, float]], number: int) -> list[tuple[TrialRecord, float]]:
    """About MAX_LEARNED of the trials, which come worst first: the best, and of the others every second,
    fourth, … by number, so that they are the same from one ask to the next."""
    if number <= MAX_LEARNED:
        return list(scored)
    num_others, stride = number - _BEST_LEARNED, 2
    while num_others // stride > MAX_LEARNED - _BEST_LEARNED:
        stride *= 2
    # Thousands of pairs at once would have the garbage collector look through the whole study.
    return [item for at, item in enumerate(scored) if at >= num_others or item[0].number % stride == 0]
