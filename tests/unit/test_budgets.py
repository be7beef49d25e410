"""Budgets in compute: what they buy, and that a search ends with a fully trained best trial."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from simulated_search import (
    NONE,
    RULES,
    Curve,
    Simulation,
    config_of,
    cut_journal,
    noisy,
    num_lines,
    outcomes,
)

from search.budget.reserve import is_fully_trained
from search.budget.words import budget_text, expected_trials
from search.config.config import Config
from search.config.schema import Budget
from search.errors import ConfigError
from search.run.events import EventKind, Turn
from search.run.outcome.summary import end_reason
from search.schedulers.build import build_scheduler
from search.study.trial import Outcome
from trainables.data.virtual_epoch import VirtualEpochs

pytestmark = pytest.mark.usefixtures("no_fsync")
LENGTH = 9
STEPS = 5
"""Of a virtual epoch of a simulated trial."""
LENGTHS = VirtualEpochs(unit="steps", count=STEPS, step_samples=16, epoch_samples=1200)


def budgeted(rule: str = "asha", seed: int = 0, **budget: Any) -> Config:
    sections = {"sampler": {"name": "random", "seed": seed}, **RULES[rule]}
    return config_of(**sections, budget={"max_virtual_epochs": LENGTH, **budget})


def depths(simulation: Simulation) -> list[int]:
    return [record.depth for record in simulation.records]


def assert_best_is_fully_trained(simulation: Simulation) -> None:
    best = simulation.coordinator.best
    assert best is not None
    assert is_fully_trained(best, LENGTH), (best.number, depths(simulation))


# --- exact


def test_full_trainings_buy_as_many_whole_trials_where_none_ends_early(tmp_path: Path) -> None:
    for trainings, count in ((3, 3), (3.9, 3)):
        simulation = Simulation(tmp_path / f"{trainings}", budgeted("none", full_trainings=trainings)).run()
        assert depths(simulation) == [LENGTH] * count
        assert simulation.coordinator.steps == count * LENGTH * STEPS
        assert end_reason(simulation.coordinator) == "compute limit; the best trial is fully trained"


def test_trials_begin_until_one_full_training_is_left_which_the_leading_ones_get(tmp_path: Path) -> None:
    curve: Curve = lambda record, virtual_epoch: virtual_epoch / 100 - record.number  # noqa: E731
    simulation = Simulation(tmp_path, budgeted(full_trainings=2), curve).run()
    kinds = [kind for kind, *_ in simulation.events]
    last_begin = len(kinds) - 1 - kinds[::-1].index(EventKind.STARTED)
    # Trial 5 begins at 7 of 18. Then trial 1 is promoted for 2, so 8 are left, too few for another. 6 go
    # to the best one. The 2 that are left at last take no other trial to its end.
    assert kinds[:last_begin].count(EventKind.REPORTED) == 7
    assert depths(simulation) == [9, 3, 1, 1, 1, 1]


def test_the_number_of_trials_alone_is_no_limit_of_compute(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, budgeted(trials=4)).run()
    assert not simulation.coordinator.reserve.limits
    assert end_reason(simulation.coordinator) == "all 4 trials are done"


def test_what_comes_first_ends_the_search(tmp_path: Path) -> None:
    for name, budget, reason in (
        ("trials", {"trials": 3, "full_trainings": 50}, "all 3 trials are done"),
        ("steps", {"steps": 100, "full_trainings": 50, "trials": 90}, "step limit"),
        ("samples", {"samples": 1600, "steps": 4000}, "sample limit"),
        ("compute", {"steps": 4000, "full_trainings": 2}, "compute limit"),
    ):
        simulation = Simulation(tmp_path / name, budgeted(**budget)).run()
        assert end_reason(simulation.coordinator) == f"{reason}; the best trial is fully trained", name
        assert_best_is_fully_trained(simulation)


def test_gpu_hours_count_the_time_of_trials_times_their_gpus(tmp_path: Path) -> None:
    # A simulated virtual epoch takes its trial a second: 40 of half a GPU are 20 seconds.
    config = config_of(
        sampler={"name": "random"},
        scheduler=NONE,
        budget={"gpu_hours": 20 / 3600, "max_virtual_epochs": LENGTH},
        resources={"gpus_per_trial": 0.5},
    )
    simulation = Simulation(tmp_path, config, workers=2).run()
    assert depths(simulation) == [LENGTH] * 4
    assert simulation.coordinator.ending == "GPU limit"


def test_a_limit_below_one_full_training_is_used_up_and_said_not_to_be_enough(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, budgeted("none", steps=7 * STEPS)).run()
    assert simulation.coordinator.steps == 7 * STEPS
    assert end_reason(simulation.coordinator) == "step limit; the best trial is at virtual epoch 7 of 9"


# --- properties

LIMITS: list[dict[str, Any]] = [
    {"full_trainings": 1},
    {"full_trainings": 2.4},
    {"steps": 152},
    {"samples": 3000},
    {"steps": 190, "trials": 7},
    {"time": "25s"},
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_the_best_trial_is_fully_trained_and_no_limit_exceeded(
    tmp_path: Path, rule: str, limit: dict[str, Any]
) -> None:
    seed = LIMITS.index(limit) + len(LIMITS) * list(RULES).index(rule)
    workers = 3 if seed % 3 else 1
    simulation = Simulation(tmp_path, budgeted(rule, seed, **limit), noisy(seed), workers=workers).run()
    assert_best_is_fully_trained(simulation)
    for each in simulation.coordinator.reserve.limits:
        over = workers if each.key == "time" else 0
        assert each.spent <= each.total + over, (each.key, each.spent)


@pytest.mark.parametrize("rule", ["asha", "asha_stop", "none"])
def test_the_best_is_ready_in_time_although_virtual_epochs_take_now_more_and_now_less(
    tmp_path: Path, rule: str
) -> None:
    for seed in range(2):
        chance = random.Random(seed)
        config = budgeted(rule, seed, time="60s")
        pace = lambda number: chance.uniform(0.7, 1.3)  # noqa: B023, E731
        simulation = Simulation(tmp_path / f"{seed}", config, noisy(seed), workers=2, pace=pace).run()
        assert_best_is_fully_trained(simulation)
        assert simulation.coordinator.elapsed_seconds <= 61.3


def test_a_machine_that_becomes_slow_leaves_other_trials_for_the_best(tmp_path: Path) -> None:
    config = budgeted("none", time="60s")
    now = iter([1.0] * 30 + [1.6] * 1000)
    simulation = Simulation(tmp_path, config, noisy(3), workers=2, pace=lambda number: next(now)).run()
    assert_best_is_fully_trained(simulation)


def test_a_long_start_of_the_processes_is_not_taken_for_a_part_of_each_virtual_epoch(tmp_path: Path) -> None:
    """Before, a limit of 300 s was thought to have room for 6 trials."""
    cold = iter([100.0, 100.0])
    simulation = Simulation(
        tmp_path, budgeted("asha", time="300s"), noisy(0), workers=2, starting=lambda number: next(cold, 0.1)
    ).run()
    assert_best_is_fully_trained(simulation)
    assert len(simulation.records) > 50
    assert 280 < simulation.coordinator.elapsed_seconds <= 301


def test_each_job_that_the_best_still_needs_has_time_to_start(tmp_path: Path) -> None:
    """Before, one start was kept for it, and with asha each rung is a job."""
    for seed in range(4):
        simulation = Simulation(
            tmp_path / f"{seed}",
            budgeted("asha", seed, time="600s", max_virtual_epochs=81),
            noisy(seed, 81),
            starting=lambda number: 60.0,
        ).run()
        best = simulation.coordinator.best
        assert best is not None
        assert best.depth == 81, (seed, depths(simulation))
        assert simulation.coordinator.elapsed_seconds <= 600 + 60 + 2


def test_a_search_all_of_whose_trials_diverge_ends(tmp_path: Path) -> None:
    for name, budget in (("steps", {"steps": 10**6}), ("time", {"time": "1d"})):
        simulation = Simulation(tmp_path / name, budgeted(**budget), lambda *_: float("nan")).run(100)
        assert len(simulation.records) == 24
        assert simulation.coordinator.gave_up
        assert simulation.coordinator.ending is not None
        assert simulation.coordinator.ending.startswith("none of 24 trials has a value; go on with other")


# --- interruption and growth


@pytest.mark.parametrize("rule", ["asha", "asha_stop", "hyperband", "none"])
def test_a_kill_between_any_two_writes_gives_the_same_end(tmp_path: Path, rule: str) -> None:
    config = budgeted(rule, full_trainings=1.8, steps=90)
    whole = Simulation(tmp_path / "whole", config, noisy(5)).run()
    expected = outcomes(whole.records)
    lines = num_lines(tmp_path / "whole")
    for cut in range(lines % 7 + 4, lines, 7):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"{cut}", cut)
        assert outcomes(Simulation(folder, config, noisy(5)).run().records) == expected, cut


@pytest.mark.parametrize("rule", RULES)
def test_a_larger_budget_continues_and_the_same_again_has_nothing_to_do(tmp_path: Path, rule: str) -> None:
    first = Simulation(tmp_path, budgeted(rule, full_trainings=1.5), noisy(2), workers=2).run()
    again = Simulation(tmp_path, budgeted(rule, full_trainings=1.5), noisy(2), workers=2)
    assert again.coordinator.next_job() is Turn.DONE
    assert outcomes(again.run().records) == outcomes(first.records)
    before = {record.number: list(record.values) for record in again.records}
    more = Simulation(tmp_path, budgeted(rule, full_trainings=4), noisy(2), workers=2).run()
    assert all(more.records[number].values[: len(old)] == old for number, old in before.items())
    assert 3 * LENGTH < sum(depths(more)) <= 4 * LENGTH
    assert_best_is_fully_trained(more)


def test_trials_that_paused_for_the_budget_go_on_where_there_is_no_limit_any_more(tmp_path: Path) -> None:
    config = budgeted("asha_stop", 4, full_trainings=1.4)
    first = Simulation(tmp_path, config, noisy(4), workers=3).run()
    held = [record.number for record in first.records if record.held_at]
    assert held
    more = Simulation(tmp_path, budgeted("asha_stop", 4, trials=12), noisy(4), workers=3).run()
    assert all(more.records[number].outcome is not None for number in held)
    assert not any(more.records[number].stopped_by_budget for number in held)


def test_a_grid_ends_with_its_last_point_or_its_budget(tmp_path: Path) -> None:
    space = {"optimizer": {"name": "adamw", "lr": {"choice": [0.1, 0.01, 0.001]}}, "model": {"hidden": 8}}
    for trainings, count in ((2, 2), (9, 3)):
        budget = {"full_trainings": trainings, "max_virtual_epochs": LENGTH}
        config = config_of(space, sampler={"name": "grid"}, scheduler=NONE, budget=budget)
        simulation = Simulation(tmp_path / f"{trainings}", config, noisy(1)).run()
        assert [record.outcome for record in simulation.records] == [Outcome.COMPLETED] * count


# --- the section, and words


def test_the_number_of_trials_is_24_unless_compute_is_limited() -> None:
    assert Budget().trials == 24
    assert Budget.model_validate({"plateau": {"trials": 5}}).trials == 24
    for key, value in (
        ("full_trainings", 10),
        ("time", "2h"),
        ("steps", 9),
        ("samples", 9),
        ("gpu_hours", 1),
    ):
        assert Budget.model_validate({key: value}).trials is None
        assert Budget.model_validate({key: value, "trials": 3}).trials == 3


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"trials": None}, "trials is null, and no other limit is given"),
        ({"full_trainings": 0.5}, "must be at least 1"),
        ({"gpu_hours": 2}, "counts GPUs, and resources.gpus_per_trial is 0; give `time`, or gpus_per_trial"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_with_the_way_out(budget: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(budget=budget)


def test_a_budget_says_what_it_buys() -> None:
    assert budget_text(Budget(full_trainings=10), VirtualEpochs(**_twenty())) == (
        "compute of 10 full trainings: 5,400 steps"
    )
    assert budget_text(Budget(full_trainings=1)) == "compute of 1 full training: 27 virtual epochs"
    assert budget_text(Budget(trials=5, steps=1000), VirtualEpochs(**_twenty())) == (
        "5 trials or 1,000 steps (compute of 1.8 full trainings)"
    )


def _twenty() -> dict[str, Any]:
    return {"unit": "steps", "count": 20, "step_samples": 16, "epoch_samples": 1200}


def test_a_plan_estimates_how_many_trials_compute_buys(tmp_path: Path) -> None:
    config = budgeted("none", full_trainings=4)
    assert expected_trials(config.budget, build_scheduler(config), LENGTHS, 4) == 4
    config = budgeted("asha", full_trainings=4)
    number = expected_trials(config.budget, build_scheduler(config), LENGTHS, 4)
    assert number is not None
    begun = len(Simulation(tmp_path, config, noisy(0)).run().records)
    assert 0.4 * begun <= number <= 2.5 * begun
