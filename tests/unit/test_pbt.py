"""Population based training: who goes on from whom, and with which values."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from records import Records, trial
from simulated_search import FLAT_SPACE as SPACE

from search.config.sections.pbt import Pbt
from search.schedulers.base import Decision
from search.schedulers.explore import explored
from search.schedulers.pbt import PBT
from search.space.parse import parse_space
from search.study.trial import Outcome, TakenOver, TrialRecord

CHANGING = ("optimizer.lr", "optimizer.weight_decay")


def scheduler(population: int = 4, length: int = 9, mode: Any = "max", **options: Any) -> PBT:
    return PBT(Pbt(**options), mode, population, length, CHANGING, seed=0)


def population(*values: Sequence[float], **fields: Any) -> list[TrialRecord]:
    """Trials with these values so far, and with learning rates 0.01, 0.02, …"""
    space = parse_space(SPACE)
    made = []
    for number, own in enumerate(values):
        record = trial(number, *own, **fields)
        record.space = space
        record.params = {
            "model.hidden": (8, 16, 32)[number % 3],
            "optimizer.lr": 0.01 * (number + 1),
            "optimizer.weight_decay": 0.001,
        }
        record.drawn = record.params
        made.append(record)
    return made


def chosen(rule: PBT, records: Sequence[TrialRecord], *, closing: bool = True) -> int | None:
    found = rule.next_promotion(Records(*records), closing=closing)  # type: ignore[arg-type]
    return None if found is None else found.number


def taken_over(rule: PBT, records: Sequence[TrialRecord], number: int) -> TakenOver | None:
    return rule.taken_over(Records(*records), records[number])  # type: ignore[arg-type]


def test_trials_pause_every_interval_but_not_at_full_length() -> None:
    rule = scheduler(length=9, interval=3)
    decisions = [rule.after_report(Records(), trial(0, *[0.5] * depth)) for depth in range(1, 10)]  # type: ignore[arg-type]
    assert [n for n, decision in enumerate(decisions, 1) if decision is Decision.PAUSE] == [3, 6]
    assert [rule.next_decision(0, depth, None, 8) for depth in range(8)] == [3, 3, 3, 6, 6, 6, 8, 8]


def test_nobody_goes_on_before_the_whole_population_has_arrived() -> None:
    rule = scheduler(population=3, interval=2)
    values = [[0.1, 0.2], [0.3, 0.4]]
    assert chosen(rule, population(*values)) is None
    records = population(*values, [0.5])
    records[2].running = True
    assert chosen(rule, records) is None
    assert chosen(rule, population(*values, [0.5, 0.6])) == 0


def test_a_trial_that_has_ended_is_not_waited_for() -> None:
    records = population([0.1, 0.2], [0.3, 0.4], [0.5])
    records[2].outcome = Outcome.DIVERGED
    assert chosen(scheduler(population=3, interval=2), records) == 0


def test_those_that_go_on_from_others_come_first_so_that_the_checkpoints_are_still_there() -> None:
    rule = scheduler(population=4, interval=1)
    records = population([0.4], [0.3], [0.2], [0.1])
    order = []
    while (number := chosen(rule, records)) is not None:
        found = taken_over(rule, records, number)
        order.append((number, None if found is None else found.donor))
        records[number].running, records[number].promoted_at = True, 1
    assert order == [(3, 0), (0, None), (1, None), (2, None)]


@pytest.mark.parametrize(
    ("number", "quantile", "expected"), [(8, 0.25, 2), (5, 0.25, 2), (3, 0.5, 1), (2, 0.25, 1), (10, 0.1, 1)]
)
def test_the_share_is_rounded_up_and_nobody_is_both_best_and_worst(
    number: int, quantile: float, expected: int
) -> None:
    records = population(*[[float(n)] for n in range(number)])
    rule = scheduler(population=number, interval=1, quantile=quantile)
    gone = {n: found.donor for n in range(number) if (found := taken_over(rule, records, n))}
    assert sorted(gone) == list(range(expected))
    assert set(gone.values()) <= set(range(number - expected, number))


@pytest.mark.parametrize(("mode", "worst"), [("max", 3), ("min", 0)])
def test_trials_are_compared_by_their_value_of_then_and_not_by_their_best(mode: Any, worst: int) -> None:
    records = population([0.1, 0.9], [0.1, 0.8], [0.1, 0.7], [1.0, 0.6])
    found = [n for n in range(4) if taken_over(scheduler(mode=mode, interval=2), records, n)]
    assert found == [worst]


def test_of_equal_trials_the_higher_number_goes_on_from_the_lower() -> None:
    records = population([0.5], [0.5], [0.5], [0.5])
    found = [taken_over(scheduler(interval=1), records, n) for n in range(4)]
    assert [None if one is None else one.donor for one in found] == [None, None, None, 0]


def test_what_is_no_number_of_the_training_is_taken_over_as_it_is() -> None:
    records = population([0.4], [0.3], [0.2], [0.1])
    found = taken_over(scheduler(interval=1, resample=0.0), records, 3)
    assert found is not None
    assert found.params["model.hidden"] == 8
    assert found.params["optimizer.lr"] in (pytest.approx(0.008), pytest.approx(0.012))
    assert found.params["optimizer.weight_decay"] in (pytest.approx(0.0008), pytest.approx(0.0012))


def test_who_goes_on_from_whom_does_not_follow_from_what_came_later() -> None:
    rule = scheduler(interval=1)
    records = population([0.4], [0.3], [0.2], [0.1])
    before = taken_over(rule, records, 3)
    later = population([0.4], [0.3, 0.9], [0.2, 0.8], [0.1])
    later[2].outcome = Outcome.DIVERGED
    assert taken_over(rule, later, 3) == before


def test_it_is_decided_once_for_each_trial_and_virtual_epoch() -> None:
    records = population([0.4], [0.3], [0.2], [0.1])
    records[3].promoted_at = 1
    assert taken_over(scheduler(interval=1), records, 3) is None


def test_a_decision_of_which_only_the_first_half_was_written_stands() -> None:
    records = population([0.4], [0.3], [0.2], [0.1])
    records[3].taken_over = [TakenOver(1, 0, {"optimizer.lr": 0.5})]
    assert taken_over(scheduler(interval=1), records, 3) is None
    assert chosen(scheduler(interval=1), records) == 3


def test_one_that_comes_late_finds_no_checkpoint_of_then_and_goes_on_by_itself() -> None:
    records = population([0.4, 0.5], [0.3, 0.4], [0.2, 0.3], [0.1])
    assert chosen(scheduler(interval=1), records) == 3
    assert taken_over(scheduler(interval=1), records, 3) is None


def test_nobody_goes_on_from_a_trial_whose_virtual_epochs_are_of_another_length() -> None:
    records = population([0.4], [0.3], [0.2], [0.1])
    records[0].lengths = None
    assert taken_over(scheduler(interval=1), records, 3) is None


def test_no_two_go_on_from_the_same_checkpoint_with_the_same_values() -> None:
    """Copied random states would make them the same training."""
    records = population(*[[float(-n)] for n in range(40)])
    rule = scheduler(population=40, interval=1, quantile=0.5, resample=0.0)
    seen = set()
    for number in range(20, 40):
        found = taken_over(rule, records, number)
        assert found is not None
        records[number].taken_over = [found]
        seen.add((found.donor, tuple(found.params.items())))
    assert len(seen) == 20


DOMAINS = {
    "a": {"uniform": [0.0, 1.0]},
    "b": {"loguniform": [1e-3, 1.0]},
    "c": {"quniform": [0.1, 0.5, 0.1]},
    "d": {"randint": [1, 9]},
    "e": {"lograndint": [1, 100]},
    "f": {"choice": [1, 2, 4]},
}
VALUES = {"a": 0.5, "b": 0.9, "c": 0.3, "d": 1, "e": 10, "f": 1}


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.2, {"a": 0.6, "b": 1.0, "c": 0.4, "d": 2, "e": 12}),
        (0.8, {"a": 0.4, "b": 0.72, "c": 0.2, "d": 1, "e": 8}),
    ],
)
def test_numbers_are_perturbed_within_their_domain_and_by_one_step_at_least(
    factor: float, expected: dict[str, Any]
) -> None:
    found = explored(parse_space(DOMAINS), VALUES, "abcde", resample=0.0, perturb=[factor], rng=Random(0))
    assert found == pytest.approx(expected | {"f": 1})
    assert all(isinstance(found[name], int) for name in "de")


def test_a_choice_moves_to_a_neighbour_and_stays_at_its_ends() -> None:
    space = parse_space(DOMAINS)
    moved = {
        explored(space, VALUES | {"f": value}, "f", resample=0.0, perturb=[2.0], rng=Random(seed))["f"]
        for value in (1, 4)
        for seed in range(20)
    }
    assert moved == {1, 2, 4}


def test_values_drawn_anew_are_spread_over_their_domain() -> None:
    space = parse_space(DOMAINS)
    found = [
        explored(space, VALUES, "abcdef", resample=1.0, perturb=[2.0], rng=Random(seed))
        for seed in range(400)
    ]
    for domain, _ in space.root.domains():
        assert all(domain.contains(values[domain.name]) for values in found)
    assert 0.4 < sum(values["b"] < 10**-1.5 for values in found) / 400 < 0.6
    assert 0.4 < sum(values["e"] <= 10 for values in found) / 400 < 0.62
    assert {values["c"] for values in found} == {0.1, 0.2, 0.3, 0.4, 0.5}
    assert {values["f"] for values in found} == {1, 2, 4}
