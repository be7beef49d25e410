from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from simulated_search import Simulation, config_of, learning_curve

from search.samplers.encoding import SpaceEncoding
from search.samplers.forest import ForestSampler
from search.samplers.samplers import _frozen, _Shown
from search.space.space import parse_space

TREE: dict[str, Any] = {
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-5, 1.0]}},
            {"name": "sgd", "lr": {"loguniform": [1e-4, 10.0]}},
        ]
    },
    "width": {"choice": [16, 32, 64]},
}


class Drawn:
    """Parameters and no more, as a view holds them."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params, self.distributions = params, {}


def scored(count: int) -> _Shown:
    """Trials drawn at random; adamw is better, best at a learning rate of 1e-3."""
    encoding = SpaceEncoding(parse_space(TREE))
    rows = encoding.random(np.random.default_rng(0), count)
    trials = [_frozen(n, Drawn(p := encoding.params(row)), score(p)) for n, row in enumerate(rows)]
    return _Shown(lambda: trials)


def score(params: dict[str, Any]) -> float:
    adamw = params["optimizer"] == "adamw"
    rate = params["optimizer.adamw.lr" if adamw else "optimizer.sgd.lr"]
    return 0.3 * adamw - 0.1 * abs(math.log10(rate) + 3)


def draws(study: _Shown, count: int = 60, **options: Any) -> list[dict[str, Any]]:
    encoding = SpaceEncoding(parse_space(TREE))
    samplers = [ForestSampler(encoding, seed, **{"startup_trials": 10, **options}) for seed in range(count)]
    return [
        sampler.sample_relative(study, study.trials[0] if study.trials else None, {}) for sampler in samplers
    ]


def test_draws_gather_where_scores_are_high_and_still_come_from_everywhere() -> None:
    chosen = draws(scored(60))
    good = [p for p in chosen if p["optimizer"] == "adamw" and 1e-4 < p["optimizer.adamw.lr"] < 1e-2]
    assert len(good) > 0.6 * len(chosen)  # a fifth of the space
    assert len(good) < len(chosen)


def test_before_the_startup_trials_have_scores_draws_are_random() -> None:
    encoding = SpaceEncoding(parse_space(TREE))
    few = draws(scored(9))
    assert few == [encoding.params(encoding.random(np.random.default_rng(seed), 1)[0]) for seed in range(60)]
    assert draws(scored(10)) != few


def test_a_draw_is_a_function_of_the_seed_and_the_scored_trials() -> None:
    assert draws(scored(40), 10) == draws(scored(40), 10)
    # A running trial is not a score.
    study = scored(40)
    study.trials.append(_frozen(40, Drawn(study.trials[0].params), None))
    assert study.trials[-1].state is TrialState.RUNNING
    assert draws(study, 10) == draws(scored(40), 10)


def test_trials_that_are_drawn_from_the_same_scores_differ() -> None:
    chosen = draws(scored(60))
    assert len({tuple(sorted(params.items())) for params in chosen}) == len(chosen)


def test_a_space_without_parameters_has_one_trial() -> None:
    encoding = SpaceEncoding(parse_space({"width": 16}))
    study = _Shown(lambda: [_frozen(number, Drawn({}), 0.5) for number in range(12)])
    assert ForestSampler(encoding, 0, startup_trials=10).sample_relative(study, study.trials[0], {}) == {}


def test_constant_scores_lead_nowhere() -> None:
    study = scored(40)
    for trial in study.trials:
        trial.value = 0.5
    rates = [params for params in draws(study) if params["optimizer"] == "sgd"]
    assert 10 < len(rates) < 50


@pytest.mark.parametrize("startup_trials", [0, 1])
def test_without_startup_trials_the_model_still_waits_for_two(startup_trials: int) -> None:
    for count in (0, 1, 2, 3):
        assert len(draws(scored(count), 5, startup_trials=startup_trials)) == 5


def test_a_search_ends_up_nearer_to_the_best_than_at_random(tmp_path: Path) -> None:
    def median_of_later_trials(sampler: str, seed: int) -> float:
        config = config_of(
            sampler={"name": sampler, "seed": seed}, budget={"trials": 60, "max_virtual_epochs": 3}
        )
        records = Simulation(tmp_path / f"{sampler}{seed}", config).run().records
        return statistics.median(learning_curve(record, 3) for record in records[30:])

    seeds = range(2)
    forest = statistics.mean(median_of_later_trials("forest", seed) for seed in seeds)
    random = statistics.mean(median_of_later_trials("random", seed) for seed in seeds)
    assert forest > 1.3 * random
