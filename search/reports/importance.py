"""Which parameters mattered: PED-ANOVA on trials that were trained equally long.

Watanabe, Bansal, Hutter, PED-ANOVA (IJCAI 2023, arXiv:2304.10255); parameters of a choice, which only some
trials have, as in conditional PED-ANOVA (arXiv:2601.20800). Both are Optuna's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.reports.opened import Stage
from search.study.in_memory import frozen_trial, study_showing
from search.study.trial import BROKEN_OFF, TrialRecord, as_loss

BY_RANK = 0
"""In the place of a number of virtual epochs: trials are compared by their rank in the search."""
MIN_TRIALS = 10
"""Fewer say nothing about parameters."""
_MOST = 300
"""Trials that are looked at; of more, so many at random."""
_TOP, _FEWEST_TOP = 0.1, 5
"""What counts as good: the best tenth, and five trials at least."""
_HALVES, _SHUFFLES = 40, 100
_SHOWN = (0.1, 0.9)
_BY_CHANCE = 0.95


@dataclass(frozen=True)
class Importance:
    """One parameter's share of what all parameters explain."""

    name: str
    share: float
    """From 0 to 1; the shares of all parameters add up to 1."""
    low: float
    high: float
    """80 % of the shares that other trials of the same search would give are between these."""
    by_chance: float
    """If no parameter had any influence, none would be above its own mark in 95 of 100 cases."""

    @property
    def matters(self) -> bool:
        return self.share > self.by_chance


@dataclass(frozen=True)
class Importances:
    """What mattered for being among the best after so many virtual epochs."""

    depth: int
    """Virtual epochs after which trials are compared; `BY_RANK` where they are as the search ranks them."""
    trials: int
    """Trials that came so far."""
    top: int
    """How many of them count as good."""
    of: list[Importance]
    """The greatest share first."""


def depths(stage: Stage) -> dict[int, int]:
    """How many trials have been trained to each rung and to full length, by virtual epochs."""
    marks = [*stage.marks, stage.length]
    counted = [record for record in stage.records if is_compared(record)]
    found = {mark: sum(record.depth >= mark for record in counted) for mark in sorted(marks)}
    return {mark: number for mark, number in found.items() if number}


def importances(stage: Stage, depth: int) -> Importances | None:
    """The importance of each parameter that differs.

    None of fewer than MIN_TRIALS, of equal values, and where less than two parameters differ. Early stopping
    selects: those that have come far differ little in what mattered most. By rank all trials count.

    Args:
        stage: the search.
        depth: virtual epochs after which trials are compared, or `BY_RANK`.
    """
    mode = stage.config.objective.mode
    if depth == BY_RANK:
        known = [record for record in stage.ranked if is_compared(record)]
        values = [float(rank) for rank in range(len(known))]
    else:
        known = [record for record in stage.records if is_compared(record) and record.depth >= depth]
        values = [as_loss(record.best(mode, depth) or 0.0, mode) for record in known]
    losses = np.array(values)
    if len(known) < MIN_TRIALS or np.ptp(losses) == 0.0:
        return None
    rng = np.random.default_rng(0)
    chosen = np.arange(len(known)) if len(known) <= _MOST else rng.choice(len(known), _MOST, replace=False)
    trials = [stage.frozen[known[place].number] for place in chosen]
    names = _differing(trials)
    if len(names) < 2:
        return None  # one parameter has all there is
    given = [_with_value(trial, float(loss)) for trial, loss in zip(trials, losses[chosen], strict=True)]
    top = max(_TOP, min(0.5, _FEWEST_TOP / len(given)))
    measured = _divergences(given, names, top)
    total = float(measured.sum()) or 1.0
    shares = measured / total
    low, high = _interval(shares, given, names, top, rng)
    chance = np.minimum(1.0, _by_chance(given, names, top, rng) / total)
    columns = np.round([shares, low, high, chance], 4).T.tolist()
    of = [Importance(name, *column) for name, column in zip(names, columns, strict=True)]
    of.sort(key=lambda each: -each.share)
    return Importances(depth, len(known), math.ceil(top * len(known)), of)


def _interval(
    shares: np.ndarray,
    given: Sequence[FrozenTrial],
    names: Sequence[str],
    top: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Between which 80 % of the shares lie, from random halves of the trials.

    Halves drawn without replacement vary about their mean as the whole varies about the truth (Shao & Wu, A
    general theory for jackknife variance estimation, 1989); drawn with replacement, trials that are there
    twice would look like an influence.
    """
    found = []
    for _ in range(_HALVES):
        half = rng.choice(len(given), len(given) // 2, replace=False)
        divergences = _divergences([given[place] for place in half], names, top)
        found.append(divergences / (divergences.sum() or 1.0))
    low, high = np.quantile(np.array(found) - np.mean(found, axis=0), _SHOWN, axis=0)
    return np.clip(shares + low, 0.0, 1.0), np.clip(shares + high, 0.0, 1.0)


def _by_chance(
    given: Sequence[FrozenTrial], names: Sequence[str], top: float, rng: np.random.Generator
) -> np.ndarray:
    """The divergence of each parameter below which all stay in 95 of 100 cases where none matters.

    By shuffled values: mean and deviation of each parameter, and the greatest deviation of any of them (the
    step-down of Westfall & Young, 1993, without its steps).
    """
    shuffled = np.array([_divergences(_shuffled(given, rng), names, top) for _ in range(_SHUFFLES)])
    mean, deviation = shuffled.mean(axis=0), shuffled.std(axis=0) + 1e-12
    greatest = ((shuffled - mean) / deviation).max(axis=1)
    limits: np.ndarray = mean + float(np.quantile(greatest, _BY_CHANCE)) * deviation
    return limits


def is_compared(record: TrialRecord) -> bool:
    """Whether the trial's values stand for its parameters: on the data of now, and not broken off.

    Those of a population change while it trains.
    """
    broken = record.outcome in BROKEN_OFF
    return record.depth > 0 and not (broken or record.of_other_data or record.taken_over)


def _differing(trials: Sequence[FrozenTrial]) -> list[str]:
    """Parameters with more than one value."""
    values: dict[str, set[object]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    return [name for name, found in values.items() if len(found) > 1]


def _divergences(given: Sequence[FrozenTrial], names: Sequence[str], top: float) -> np.ndarray:
    """By how much good trials are spread otherwise than all, for each parameter (Pearson divergence)."""
    study = study_showing(lambda: given, StudyDirection.MINIMIZE)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=top)
    there = [name for name in names if any(name in trial.params for trial in given)]  # some may not be drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = evaluator.evaluate(study, params=there)
    return np.array([found.get(name, 0.0) for name in names])


def _shuffled(given: Sequence[FrozenTrial], rng: np.random.Generator) -> Sequence[FrozenTrial]:
    """These trials, each with the value of some other one from now on."""
    values = rng.permutation([trial.value for trial in given])
    for trial, value in zip(given, values, strict=True):
        trial.value = float(value)
    return given


def _with_value(trial: FrozenTrial, value: float) -> FrozenTrial:
    return frozen_trial(
        trial.number, trial.params, trial.distributions, state=TrialState.COMPLETE, value=value
    )
