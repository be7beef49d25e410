"""Races over seeds as functions of their runs: the statistics, the rounds, and who takes part."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_rel

from search.config.schema import Confirm
from search.errors import SearchError
from search.race.plan import RacePlan, plan_race, read_plan
from search.race.race import Exit, Race, race_of
from search.race.statistics import chances, p_worse, standard_deviation
from search.space.parse import parse_space
from search.study.trial import Outcome, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs

LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=None)
SPACE = parse_space({"lr": {"uniform": [0.0, 1.0]}, "seed": {"randint": [0, 9]}})
INF = math.inf


def test_the_test_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for n in range(2, 12):
        for _ in range(20):
            best = rng.normal(size=n) * 10 ** rng.uniform(-6, 6)
            losses = best + rng.normal(0.3, 1.0, size=n) * 10 ** rng.uniform(-3, 3)
            expected = ttest_rel(losses, best, alternative="greater").pvalue
            assert p_worse(list(losses), list(best)) == pytest.approx(expected, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("losses", "best"), [([], []), ([2.0], [1.0]), ([0.3, 0.5], [0.1, 0.3]), ([1.0, 1.0], [1.0, 1.0])]
)
def test_differences_without_a_spread_prove_nothing(losses: list[float], best: list[float]) -> None:
    assert p_worse(losses, best) is None


def test_the_deviation_is_that_of_the_sample() -> None:
    assert standard_deviation([0.1, 0.4, 0.2]) == pytest.approx(stdev([0.1, 0.4, 0.2]), rel=1e-12)
    assert standard_deviation([0.1]) is None
    assert standard_deviation([]) is None


def exact_chances(losses: list[list[float]]) -> list[float]:
    """All draws of as many seeds as the first candidate has, in the place of a bootstrap."""
    shares = np.zeros(len(losses))
    number = 0
    for draw in itertools.product(range(len(losses[0])), repeat=len(losses[0])):
        own = [[seed for seed in draw if seed < len(each)] for each in losses]
        if not all(own):
            continue
        number += 1
        means = [
            fmean(each[seed] - losses[0][seed] for seed in s) for each, s in zip(losses, own, strict=True)
        ]
        winners = np.isclose(means, min(means), rtol=0, atol=1e-12)
        shares += winners / winners.sum()
    return list(shares / number)


@pytest.mark.parametrize(
    "losses",
    [
        [[0.1, 0.2, 0.3], [0.15, 0.15, 0.31], [0.3, 0.1, 0.2]],
        [[0.1, 0.2, 0.3, 0.2], [0.09, 0.25]],
        [[0.1, 0.5], [0.1, 0.5]],
        [[0.5, 0.2]],
    ],
)
def test_the_chance_of_being_the_best_is_that_of_all_draws_of_seeds(losses: list[list[float]]) -> None:
    found = chances(losses, 0)
    assert found == pytest.approx(exact_chances(losses), abs=0.015)
    assert sum(found) == pytest.approx(1.0)
    assert chances(losses, 0) == found  # the random numbers are fixed


def test_a_candidate_is_the_best_with_the_seeds_alone_that_no_run_of_it_was_broken_off_with() -> None:
    first, broken = chances([[0.5, 0.5, 0.5], [0.1, INF, 0.1]], 0)
    assert broken == pytest.approx((2 / 3) ** 3, abs=0.015)
    assert first == pytest.approx(1 - broken)


def raced(table: list[list[float]], error: float = 0.05) -> Race:
    """A whole race, by handing out what is asked for; `table` has a row for each candidate."""
    runs: dict[tuple[int, int], float] = {}
    seeds = range(1, len(table[0]) + 1)
    while not (race := race_of(len(table), seeds, runs, error=error)).is_over:
        candidate, seed = race.pending[0]
        runs[candidate, seed] = table[candidate][seed - 1]
    return race


def test_the_first_two_rounds_run_at_once_and_later_ones_in_turn() -> None:
    seeds, rounds = [4, 7, 9], [(0, 4), (1, 4), (0, 7), (1, 7)]
    assert race_of(2, seeds, {}, error=0.05).pending == tuple(rounds)
    runs = dict.fromkeys(rounds[:3], 0.5)
    assert race_of(2, seeds, runs, error=0.05).pending == ((1, 7),)
    runs[1, 7] = 0.6
    assert race_of(2, seeds, runs, error=0.05).pending == ((0, 9), (1, 9))
    assert race_of(2, seeds, runs | {(0, 9): 0.5, (1, 9): 0.6, (5, 4): 0.0}, error=0.05).is_over


def test_who_is_worse_by_the_test_leaves_and_the_winner_runs_all_seeds() -> None:
    table = [[0.50, 0.52, 0.51, 0.53], [0.70, 0.78, 0.74, 0.1], [0.5, 0.53, 0.52, 0.52]]
    third = p_worse(table[1][:3], table[0][:3])
    second = p_worse(table[1][:2], table[0][:2])
    assert third is not None
    assert second is not None
    assert third < 0.05 / 2 < second
    race = raced(table)
    assert race.exits == {1: Exit(3, third)}
    assert race.leader == 0
    assert [len(losses) for losses in race.losses] == [4, 3, 4]
    alone = raced(table[:2], error=0.1)
    assert alone.exits == {1: Exit(2, second)}
    assert [len(losses) for losses in alone.losses] == [4, 2]


def test_the_error_is_shared_by_all_comparisons() -> None:
    pair = [[0.50, 0.52, 0.51], [0.70, 0.73, 0.705]]
    p = p_worse(pair[1], pair[0])
    assert p is not None
    assert list(raced(pair, error=p * 1.01).exits) == [1]
    assert not raced([*pair, [0.5, 0.52, 0.52]], error=p * 1.99).exits.get(1)
    assert raced([*pair, [0.5, 0.52, 0.52]], error=p * 2.01).exits[1] == Exit(3, p)


def test_a_run_that_was_broken_off_counts_as_the_worst() -> None:
    race = raced([[0.1, INF, 0.1], [0.9, 0.8, 0.9], [INF, INF, 0.2]])
    assert race.leader == 1
    assert race.exits == {0: Exit(2, None), 2: Exit(2, None)}
    every = raced([[INF, INF], [INF, INF]])
    assert (every.is_over, every.exits, every.leader) == (True, {}, 0)


def test_one_candidate_runs_all_seeds() -> None:
    assert raced([[0.3, 0.2, 0.1]]) == Race((), ((0.3, 0.2, 0.1),), {}, 0, 3)


def trial(number: int, value: float, lr: float, seed: int, **fields: Any) -> TrialRecord:
    params = {"lr": lr, "seed": seed}
    fields = {"outcome": Outcome.COMPLETED, "lengths": LENGTHS, **fields}
    return TrialRecord(number, number, SPACE, params, values=[value], **fields)


def planned(*records: TrialRecord, **asked: int) -> RacePlan:
    return plan_race(Confirm(**asked), records, mode="max", virtual_epochs=1)


def test_the_best_trials_race_over_seeds_that_none_was_found_with(tmp_path: Path) -> None:
    records = [trial(0, 0.5, 0.1, 0), trial(1, 0.7, 0.2, 2), trial(2, 0.6, 0.3, 0), trial(3, 0.4, 0.4, 1)]
    plan = planned(*records, top=3, seeds=4)
    assert [candidate.trial for candidate in plan.candidates] == [1, 2, 0]
    assert plan.seeds == (1, 3, 4, 5)
    assert plan.candidates[0].options == plan.candidates[0].params == {"lr": 0.2}
    plan.write(tmp_path / "race.yaml")
    assert read_plan(tmp_path / "race.yaml") == plan


def test_trials_that_differ_in_the_seed_alone_are_one_candidate() -> None:
    records = [trial(0, 0.5, 0.1, 0), trial(1, 0.7, 0.1, 1), trial(2, 0.6, 0.1, 2), trial(3, 0.4, 0.4, 0)]
    plan = planned(*records, top=3, seeds=2)
    assert [candidate.trial for candidate in plan.candidates] == [1, 3]
    assert plan.seeds == (3, 4)


def test_trials_of_other_data_or_without_a_verdict_do_not_race() -> None:
    records = [
        trial(0, 0.9, 0.1, 0, of_other_data=True),
        trial(1, 0.8, 0.2, 0, outcome=Outcome.DIVERGED),
        trial(2, 0.1, 0.3, 0, outcome=Outcome.STOPPED),
    ]
    assert [candidate.trial for candidate in planned(*records).candidates] == [2]
    with pytest.raises(SearchError, match="no trial on the data of now has a value"):
        planned(*records[:2])


def test_a_race_keeps_its_seeds_and_gets_more(tmp_path: Path) -> None:
    before = planned(trial(0, 0.5, 0.1, 0), seeds=3)
    records = [trial(0, 0.5, 0.1, 0), trial(1, 0.7, 0.1, 2)]
    for seeds, expected in ((2, (1, 3)), (5, (1, 3, 4, 5, 6))):
        found = plan_race(Confirm(seeds=seeds), records, mode="max", virtual_epochs=1, before=before)
        assert found.seeds == expected
    (tmp_path / "race.yaml").write_text("top: 3\n", encoding="utf-8")
    with pytest.raises(SearchError, match=r"race\.yaml is damaged"):
        read_plan(tmp_path / "race.yaml")
