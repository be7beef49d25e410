"""A study that shows trials is to samplers and pruners what a study filled with them is."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import MedianPruner, PercentilePruner
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.study.in_memory import study_showing
from search.study.patches import NumberedQMCSampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
SPACE: dict[str, Any] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "layers": IntDistribution(1, 4),
    "kind": CategoricalDistribution(["a", "b"]),
}
SAMPLERS: dict[str, Any] = {
    "random": lambda: RandomSampler(seed=1),
    "tpe": lambda: TPESampler(seed=1, n_startup_trials=5, multivariate=True, group=True, constant_liar=True),
    "gp": lambda: GPSampler(seed=1, n_startup_trials=5),
    "qmc": lambda: NumberedQMCSampler(12, seed=1, scramble=True, warn_independent_sampling=False),
}


def trials(count: int) -> list[FrozenTrial]:
    """Complete ones, and the last two running."""
    source = optuna.create_study(sampler=RandomSampler(seed=0))
    found = []
    for number in range(count):
        state = TrialState.COMPLETE if number < count - 2 else TrialState.RUNNING
        shown = create_trial(
            state=state,
            params=source.ask(SPACE).params,
            distributions=SPACE,
            value=number * 7 % 11 / 11 if state is TrialState.COMPLETE else None,
            intermediate_values={1: number * 5 % 7 / 7, 2: number * 3 % 7 / 7},
        )
        shown.number = number
        found.append(shown)
    return found


def filled(shown: list[FrozenTrial]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.add_trials(shown)
    return study


def drawn(sampler: BaseSampler, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    relative = sampler.infer_relative_search_space(study, trial)
    params = sampler.sample_relative(study, trial, relative)
    alone = {n: sampler.sample_independent(study, trial, n, d) for n, d in SPACE.items() if n not in params}
    return params | alone


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_draws_the_same_from_it_as_from_a_study_that_holds_the_trials(name: str) -> None:
    shown = trials(14)
    showing = study_showing(lambda: shown, StudyDirection.MAXIMIZE)
    holding = filled(shown)
    expected = drawn(SAMPLERS[name](), holding, holding.trials[-1])
    assert drawn(SAMPLERS[name](), showing, shown[-1]) == expected


@pytest.mark.parametrize("pruner", [MedianPruner(2), PercentilePruner(25.0, 2)], ids=["median", "percentile"])
def test_a_pruner_says_the_same_of_it(pruner: optuna.pruners.BasePruner) -> None:
    shown = trials(14)
    showing = study_showing(lambda: shown, StudyDirection.MAXIMIZE)
    said = [pruner.prune(showing, trial) for trial in shown]
    assert said == [pruner.prune(filled(shown), trial) for trial in shown]
    assert set(said) == {True, False}


def test_the_trials_are_asked_for_once_and_only_where_they_are_looked_at_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    optuna.logging.enable_propagation()
    calls = []

    shown = trials(4)
    caplog.clear()

    def view() -> list[FrozenTrial]:
        calls.append("view")
        return shown

    study = study_showing(view, StudyDirection.MINIMIZE)
    assert study.direction is StudyDirection.MINIMIZE
    assert calls == []
    assert len(study.trials) == 4
    assert len(study.get_trials(states=(TrialState.COMPLETE,))) == 2
    assert calls == ["view"]
    assert caplog.records == []
