"""Which parameters mattered: PED-ANOVA on trials that were trained equally long.

Watanabe, Bansal, Hutter, PED-ANOVA (IJCAI 2023, arXiv:2304.10255); parameters of a choice, which only some
trials have, as in conditional PED-ANOVA (arXiv:2601.20800). Both are Optuna's.
"""

from __future__ import annotations

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
_MOST = 500
"""Trials that are looked at; of more, so many at random."""
_TOP, _FEWEST_TOP = 0.1, 5
"""What counts as good: the best tenth, and five trials at least."""
_REPEATS = 40
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
    """80 % of the shares of resampled trials are between these."""
    by_chance: float
    """A parameter without any influence stays below this share in 95 of 100 cases."""

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
    counted = [record for record in stage.records if _counts(record)]
    found = {mark: sum(record.depth >= mark for record in counted) for mark in sorted(marks)}
    return {mark: number for mark, number in found.items() if number}


def importances(stage: Stage, depth: int) -> Importances | None:
    """The importance of each parameter that differs; None of fewer than MIN_TRIALS, or of equal values.

    Early stopping selects: those that have come far differ little in what mattered most. By rank all trials
    count, the ones that were promoted further as the better ones.

    Args:
        stage: the search.
        depth: virtual epochs after which trials are compared, or `BY_RANK`.
    """
    mode = stage.config.objective.mode
    if depth == BY_RANK:
        known = [record for record in stage.ranked if _counts(record)]
        values = [float(rank) for rank in range(len(known))]
    else:
        known = [record for record in stage.records if _counts(record) and record.depth >= depth]
        values = [as_loss(record.best(mode, depth) or 0.0, mode) for record in known]
    losses = np.array(values)
    if len(known) < MIN_TRIALS or np.ptp(losses) == 0.0:
        return None
    rng = np.random.default_rng(0)
    chosen = np.arange(len(known)) if len(known) <= _MOST else rng.choice(len(known), _MOST, replace=False)
    trials, losses = [stage.frozen[known[place].number] for place in chosen], losses[chosen]
    top = max(_FEWEST_TOP, round(_TOP * len(trials)))
    names = _differing(trials)
    if not names:
        return None
    given = [_with_value(trial, float(loss)) for trial, loss in zip(trials, losses, strict=True)]
    measured = _divergences(given, names, top)
    total = float(measured.sum()) or 1.0
    draws = [rng.choice(len(given), len(given)) for _ in range(_REPEATS)]
    again = np.array([_divergences([given[place] for place in draw], names, top) for draw in draws])
    shares = again / np.maximum(again.sum(axis=1, keepdims=True), 1e-12)
    shuffled = [_divergences(_shuffled(given, rng), names, top) for _ in range(_REPEATS)]
    low, high = np.quantile(shares, _SHOWN, axis=0)
    chance = np.quantile(np.array(shuffled), _BY_CHANCE, axis=0) / total
    of = [
        Importance(name, *(round(float(each[place]), 4) for each in (measured / total, low, high, chance)))
        for place, name in enumerate(names)
    ]
    return Importances(
        depth, len(known), round(top * len(known) / len(trials)), sorted(of, key=lambda each: -each.share)
    )


def _counts(record: TrialRecord) -> bool:
    broken = record.outcome in BROKEN_OFF
    # The values of a population change, so no parameters of it stand for a result.
    return record.depth > 0 and not (broken or record.of_other_data or record.taken_over)


def _differing(trials: Sequence[FrozenTrial]) -> list[str]:
    """Parameters with more than one value."""
    values: dict[str, set[object]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    return [name for name, found in values.items() if len(found) > 1]


def _divergences(given: Sequence[FrozenTrial], names: Sequence[str], top: int) -> np.ndarray:
    """By how much good trials are spread otherwise than all, for each parameter (Pearson divergence)."""
    study = study_showing(lambda: given, StudyDirection.MINIMIZE)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=min(0.5, top / len(given)))
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
