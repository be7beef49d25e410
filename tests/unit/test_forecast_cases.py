"""Forecasts of searches with `limits:`, and of those with several objectives."""

from __future__ import annotations

from typing import Any

import pytest
from simulated_search import RULES, config_of
from tiny_tasks import search_config

from search.commands.plan import plan
from search.config.stages import load_config
from search.errors import SearchError
from search.forecast.buys import buys
from search.forecast.costs import Costs, OverLimit, TrialCost
from search.forecast.probe import _notes
from search.forecast.simulated_run import simulate
from search.screen.texts.forecast import forecast_text
from trainables.data.virtual_epoch import VirtualEpochs

pytestmark = pytest.mark.usefixtures("no_fsync", "small_machine")

LIMITS = {"parameters": 1300}
"""A perceptron of 16 hidden units has 1,242 parameters, one of 32 has 2,474."""
SPACE = {"model": {"hidden": {"choice": [16, 32]}}, "batch_size": 16}
SEVERAL = [{"metric": "accuracy", "mode": "max"}, {"metric": "valid_loss", "mode": "min"}]
TOO_LARGE = OverLimit(
    params={"model.hidden": 32},
    measured={"parameters": 2474.0},
    reason="2.47k parameters of at most 1.3k",
)


def a_cost(**params: Any) -> TrialCost:
    lengths = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)
    return TrialCost(params=params, lengths=lengths, seconds=(2.0,), trained=1.0, checkpoint_bytes=1000.0)


def some_over(sampled: int, over: int) -> Costs:
    trials = [a_cost(**{"model.hidden": 16})] * (sampled - over)
    return Costs(trials=trials, job_start=1.0, over_limit=[TOO_LARGE] * over, sampled=sampled)


def a_config(rule: str = "none", space: Any = SPACE, **sections: Any) -> Any:
    sections["budget"] = {"max_virtual_epochs": 9, **sections.pop("budget", {"trials": 40})}
    return config_of(space, **RULES[rule], **sections)


# --- limits


def test_a_trial_over_the_limit_is_measured_and_trains_nothing() -> None:
    found = [simulate(a_config(limits=LIMITS), some_over(4, 2), 1, seed) for seed in range(10)]
    for each in found:
        trained = each.virtual_epochs // 9
        assert each.virtual_epochs == trained * 9 == each.steps // 5, "all or nothing of each trial"
        assert (each.trials, each.fully_trained) == (40, trained)
        assert each.seconds == pytest.approx(39 * 1.0 + trained * 9 * 2.0), "the first job has no start"
    assert 0.3 * 400 < sum(each.fully_trained for each in found) < 0.7 * 400


def test_points_of_a_grid_are_over_the_limit_or_not() -> None:
    config = a_config(limits=LIMITS, sampler={"name": "grid"}, budget={})
    for seed in range(10):
        found = simulate(config, some_over(2, 1), 1, seed)
        assert (found.trials, found.fully_trained) == (2, 1)


def test_trials_over_the_limit_are_told_apart_from_those_that_fail() -> None:
    trial = {**search_config()["trial"], "model": SPACE["model"]}
    config = search_config(limits=LIMITS, trial=trial, budget={"trials": 9, "max_virtual_epochs": 3})
    found = plan(config, probe_seconds=15.0, local=True)
    (stage,) = found.stages
    # Where 24 configurations take longer than the probe, the one that trains at its end is cut off.
    cut_off = stage.sampled - stage.over_limit - stage.configurations
    assert stage.over_limit > 0 < stage.configurations
    assert cut_off in (0, 1)
    assert stage.broken_off == 0.0
    assert stage.beyond == [TOO_LARGE.reason]
    shown = forecast_text(found, config="seg.yaml")
    told = f"{stage.over_limit} of {stage.sampled} configurations were over the limit ({stage.beyond[0]})"
    assert f"\nlimits            {told}\n" in shown
    assert "failed" not in shown


def test_a_space_that_is_all_over_the_limit_is_refused() -> None:
    with pytest.raises(
        SearchError,
        match=r"^all of 24 configurations were over the limit \(.* parameters of at most 100\): "
        r"raise it under limits:, or narrow the space under trial:$",
    ):
        plan(search_config(limits={"parameters": 100}), probe_seconds=60.0, local=True)


def test_as_many_trials_take_less_where_some_are_over_the_limit() -> None:
    config = a_config(limits=LIMITS, budget={"trials": 40})
    all_train = buys(config, some_over(4, 0), 1, seconds=0.1)
    half_train = buys(config, some_over(4, 2), 1, seconds=0.1)
    assert half_train.seconds.high < 0.8 * all_train.seconds.low
    assert half_train.full_trainings.high < 0.8 * all_train.full_trainings.low


# --- several objectives


def test_several_objectives_keep_the_checkpoints_of_all_paused_trials() -> None:
    several = {key: value for key, value in search_config().items() if key != "objective"}
    budget = {"trials": 100, "max_virtual_epochs": 9}
    costs = Costs(trials=(a_cost(),))
    one = simulate(a_config("asha", budget=budget), costs, 2, seed=0)
    config = load_config({**several, **RULES["asha"], "objectives": SEVERAL, "budget": budget}).first
    found = simulate(config, costs, 2, seed=0)
    assert (found.trials, found.virtual_epochs) == (one.trials, one.virtual_epochs)
    assert found.peak_bytes >= 100 * 1000
    assert found.kept_bytes == one.kept_bytes
    assert one.peak_bytes < 100 * 1000


# --- a short probe


@pytest.mark.parametrize(("measured", "trials", "noted"), [(1, 24, True), (3, 24, False), (2, 2, False)])
def test_few_configurations_are_said_to_say_little_of_the_others(
    measured: int, trials: int, noted: bool
) -> None:
    config = a_config(budget={"trials": trials})
    found = _notes(config, config.virtual_epoch, Costs(trials=[a_cost()] * measured))
    assert [note.startswith("only") for note in found] == [True] * noted
