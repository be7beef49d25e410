from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from simulated_search import Simulation, by_number, config_of

from search.run.events import Event, EventKind
from search.schedulers.early_stopping import (
    Decision,
    Hyperband,
    Mode,
    Promotion,
    Rule,
    Rungs,
    Stopping,
    build_rule,
)
from search.space.space import Resolved
from search.study.study import JOURNAL, Outcome, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs

STEPS_OF_5 = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=None)


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Records:
    """All that a rule of ours looks at of a study."""

    def __init__(self, *records: TrialRecord) -> None:
        self.records = list(records)


def trial(number: int, *values: float, **fields: Any) -> TrialRecord:
    return TrialRecord(
        number, number, Resolved({}, {}, {}, {}), values=list(values), lengths=STEPS_OF_5, **fields
    )


def decide(rule: Rule, record: TrialRecord, *others: TrialRecord) -> Decision:
    return rule.after_report(Records(record, *others), record)  # type: ignore[arg-type]


def promote(rule: Rule, *records: TrialRecord, closing: bool = False) -> int | None:
    chosen = rule.next_promotion(Records(*records), closing=closing)  # type: ignore[arg-type]
    return None if chosen is None else chosen.number


# --- rungs


def test_levels_are_counted_at_powers_of_the_reduction_factor() -> None:
    rungs = Rungs(grace_period=2, reduction_factor=3)
    levels = [rungs.level(trial(0, *[0.0] * depth)) for depth in range(19)]
    assert levels == [0, 0, 1, 1, 1, 1, 2, *[2] * 11, 3]
    assert [depth for depth in range(19) if rungs.reached(trial(0, *[0.0] * depth))] == [2, 6, 18]


@pytest.mark.parametrize("axis", ["virtual_epochs", "steps", "samples"])
def test_a_trial_that_has_reported_nothing_is_at_level_0(axis: Any) -> None:
    record = trial(0)
    record.lengths = None
    assert Rungs(axis=axis).level(record) == 0
    assert not Rungs(axis=axis).reached(record)
    assert Rungs(axis=axis).value_at(record, 1, "max") is None


def test_rungs_on_the_axes_of_steps_and_samples() -> None:
    steps, samples = Rungs(grace_period=10, axis="steps"), Rungs(grace_period=100, axis="samples")
    ten = [trial(0, *[0.0] * depth) for depth in range(11)]
    assert [depth for depth in range(11) if steps.reached(ten[depth])] == [2, 6]
    assert [depth for depth in range(11) if samples.reached(ten[depth])] == [2, 4]


def test_several_rungs_within_one_virtual_epoch_are_reached_at_once() -> None:
    rungs = Rungs(grace_period=1, axis="steps")
    assert rungs.level(trial(0, 0.0)) == 2
    assert rungs.value_at(trial(0, 0.3, 0.9), 2, "max") == 0.3


@pytest.mark.parametrize(("mode", "expected"), [("max", [0.5, 0.5, 0.9]), ("min", [0.5, 0.1, 0.1])])
def test_the_value_at_a_rung_is_the_best_up_to_it(mode: Mode, expected: list[float]) -> None:
    record = trial(0, 0.5, 0.1, 0.4, 0.3, 0.9, 0.2, 0.3, 0.3, 0.3)
    values = [Rungs().value_at(record, level, mode) for level in (1, 2, 3)]
    assert values == expected
    assert Rungs().value_at(record, 4, mode) is None


def test_trials_are_ranked_by_value_then_number_the_diverged_last_and_the_failed_left_out() -> None:
    records = [
        trial(0, 0.5),
        trial(1, 0.7),
        trial(2, 0.9, outcome=Outcome.DIVERGED),
        trial(3, 0.8, outcome=Outcome.FAILED),
        trial(4, 0.7),
        trial(5, 0.6, outcome=Outcome.STOPPED),
        trial(6),
        trial(7, 0.9, outcome=Outcome.OUT_OF_MEMORY),
    ]
    assert [r.number for r in Rungs().ranked(records, 1, "max")] == [1, 4, 5, 0, 2]
    assert [r.number for r in Rungs().ranked(records, 1, "min")] == [0, 5, 1, 4, 2]


def test_rungs_are_described_below_the_full_length() -> None:
    assert Rungs().describe(27) == "1, 3, 9"
    assert Rungs(grace_period=2, reduction_factor=4).describe(9) == "2, 8"
    assert Rungs().describe(1) == "none"
    assert Rungs(grace_period=10, axis="steps").describe(27, STEPS_OF_5) == "10, 30, 90"
    assert Rungs(grace_period=100, axis="samples").describe(9, STEPS_OF_5) == "100, 300"
    assert Rungs(grace_period=100, axis="samples").describe(9) == "100, 300, …"


# --- promotion


def test_a_trial_pauses_at_a_rung_but_not_at_its_end() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    decisions = [decide(rule, trial(0, *[0.0] * depth)) for depth in range(1, 10)]
    assert [depth for depth, d in enumerate(decisions, start=1) if d is Decision.PAUSE] == [1, 3]


def test_nobody_is_promoted_before_the_fraction_gives_one() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    assert promote(rule) is None
    assert promote(rule, trial(0, 0.5), trial(1, 0.9)) is None
    assert promote(rule, trial(0, 0.5), trial(1, 0.9), trial(2, 0.7)) == 1


def test_a_promoted_trial_takes_its_place_until_more_have_come() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    six = [trial(number, 0.9 - number / 10) for number in range(6)]
    six[0].running = True
    assert promote(rule, *six) == 1
    assert promote(rule, *six[:5]) is None


def test_the_deepest_rung_is_served_first() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=27)
    shallow = [trial(number, 0.9, running=False) for number in range(9)]
    deep = [trial(9 + number, 0.1, 0.1, 0.1 + number / 10) for number in range(3)]
    assert promote(rule, *shallow, *deep) == 11


def test_running_ended_and_waiting_trials_are_not_promoted() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    records = [
        trial(0, 0.9, outcome=Outcome.STOPPED),
        trial(1, 0.8, running=True),
        trial(2, 0.7, 0.7),  # between two rungs: its process was lost
        trial(3, 0.1),
        *(trial(number, 0.0) for number in range(4, 9)),
    ]
    assert promote(rule, *records) is None


def test_when_closing_the_best_goes_on_alone_once_nothing_runs() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    two = [trial(0, 0.5), trial(1, 0.9)]
    assert promote(rule, *two, closing=False) is None
    assert promote(rule, *two, closing=True) == 1
    two[0].running = True
    assert promote(rule, *two, closing=True) is None


def test_when_closing_nobody_goes_on_where_one_is_trained_to_the_end() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=3)
    done = trial(0, 0.1, 0.1, 0.1, outcome=Outcome.COMPLETED)
    assert promote(rule, done, trial(1, 0.9), closing=True) is None


def test_an_ended_trial_is_promoted_only_where_it_may_go_on_and_keeps_its_place_anyway() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    ended = trial(0, 0.9, outcome=Outcome.STOPPED)
    others = [trial(number, 0.5 - number / 100) for number in range(1, 6)]
    assert promote(rule, ended, *others) == 1
    assert promote(rule, ended, *others[:4]) is None
    ended.dormant = True
    assert promote(rule, ended, *others) == 0


def test_trials_of_a_former_full_length_are_paused_where_that_was_a_rung() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=27)
    completed = [
        trial(n, *[0.1 * n] * 9, outcome=Outcome.COMPLETED, cut_off=False, dormant=True) for n in range(3)
    ]
    assert promote(rule, *completed) == 2
    assert promote(rule, *completed[:2]) is None
    assert promote(rule, *completed[:2], closing=True) == 1


# --- trials that may yet be promoted


def may_promote(rule: Rule, num_new: int, *records: TrialRecord) -> list[int]:
    return sorted(r.number for r in rule.may_promote(Records(*records), num_new))  # type: ignore[arg-type]


def test_as_many_may_be_promoted_as_would_be_if_all_came_to_their_rung_that_can() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    paused = [trial(number, 0.9 - number / 10) for number in range(5)]
    assert may_promote(rule, 0, *paused) == [0]
    assert may_promote(rule, 1, *paused) == [0, 1]
    assert may_promote(rule, 100, *paused) == [0, 1, 2, 3, 4]
    # One that is under way to the rung, and one that is there and runs on.
    assert may_promote(rule, 0, *paused, trial(5, running=True)) == [0, 1]
    paused[0].running = True
    assert may_promote(rule, 1, *paused) == [1]


def test_the_best_of_a_rung_may_be_promoted_alone() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    assert may_promote(rule, 0, trial(0, 0.5), trial(1, 0.9)) == [1]
    assert may_promote(rule, 0, trial(0, 0.5, 0.5, 0.5), trial(1, 0.9), trial(2, 0.8)) == [0, 1]


def test_an_ended_trial_may_be_promoted_only_where_it_may_go_on() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=9)
    ended = [trial(number, 0.9 - number / 10, outcome=Outcome.STOPPED) for number in range(3)]
    assert may_promote(rule, 9, *ended) == []
    ended[1].dormant = True
    assert may_promote(rule, 3, *ended) == [1]


@pytest.mark.parametrize("seed", range(12))
def test_whoever_is_promoted_has_been_among_those_who_go_on_ever_since(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    config = config_of(
        sampler={"name": "random", "seed": seed},
        scheduler={
            "reduction_factor": rng.choice([2, 3, 4]),
            "axis": "samples",
            "grace_period": 80 * (1 + seed % 3),
        },
        budget={"trials": rng.choice([5, 9, 25]), "max_virtual_epochs": rng.choice([4, 9, 27])},
    )
    values = [rng.random() for _ in range(25)]
    simulation = Simulation(
        tmp_path, config, lambda r, v: round(values[r.number] + rng.random(), 1), workers=1 + seed % 5
    )
    dropped: set[int] = set()
    kept: list[int] = []

    def follow(event: Event) -> None:
        number, going_on = event.record.number, simulation.coordinator.going_on()
        assert not (event.kind is EventKind.PROMOTED and number in dropped)
        dropped.update({r.number for r in simulation.records if r.outcome is None} - going_on)
        kept.append(len(going_on))

    simulation.coordinator.watch = follow
    simulation.run()
    # At the end, one of each rung at most, who could have gone on alone.
    assert kept[-1] <= max(simulation.rule.rungs.level(record) for record in simulation.records)


def test_choosing_a_promotion_among_1000_trials_takes_milliseconds() -> None:
    rule = Promotion(Rungs(), "max", num_virtual_epochs=81)
    records = [
        trial(n, *[n % 7 / 7] * (1 if n % 3 else 3 if n % 9 else 9 if n % 27 else 27)) for n in range(1000)
    ]
    began = time.perf_counter()
    for _ in range(5):
        promote(rule, *records)
    assert (time.perf_counter() - began) / 5 < 0.1


# --- stopping


def test_stopping_ends_a_trial_that_is_not_among_the_best_third() -> None:
    rule = Stopping(Rungs(), "max")
    others = [trial(number, number / 10) for number in range(1, 6)]
    assert decide(rule, trial(9, 0.45), *others) is Decision.GO_ON
    assert decide(rule, trial(9, 0.35), *others) is Decision.STOP
    assert decide(rule, trial(9, 0.4), *others) is Decision.GO_ON  # as good as the last that goes on
    assert decide(rule, trial(9, 0.0, 0.0), *others) is Decision.GO_ON  # no rung


def test_stopping_with_mode_min_keeps_the_smallest() -> None:
    rule = Stopping(Rungs(), "min")
    others = [trial(number, number / 10) for number in range(1, 6)]
    assert decide(rule, trial(9, 0.05), *others) is Decision.GO_ON
    assert decide(rule, trial(9, 0.35), *others) is Decision.STOP


def test_the_first_trials_at_a_rung_are_held_against_the_best_only() -> None:
    rule = Stopping(Rungs(), "max")
    assert decide(rule, trial(0, 0.1)) is Decision.GO_ON
    assert decide(rule, trial(1, 0.2), trial(0, 0.1)) is Decision.GO_ON
    assert decide(rule, trial(1, 0.05), trial(0, 0.1)) is Decision.STOP


def test_a_diverged_trial_holds_nobody_back() -> None:
    rule = Stopping(Rungs(), "max")
    diverged = [trial(number, 0.9, outcome=Outcome.DIVERGED) for number in range(3)]
    assert decide(rule, trial(9, 0.1), *diverged) is Decision.GO_ON


# --- hyperband


def test_hyperband_deals_trials_to_brackets_by_their_number() -> None:
    rule = Hyperband(grace_period=1, reduction_factor=3, mode="max", num_virtual_epochs=9)
    brackets = [rule.bracket(number) for number in range(18)]
    # n of the paper for R = 9, eta = 3: 9, 5 and 3.
    assert [brackets[:17].count(bracket) for bracket in range(3)] == [9, 5, 3]
    assert brackets[17] == brackets[0]
    assert set(brackets[:4]) == {0, 1, 2}


def test_a_bracket_has_its_own_first_rung_and_its_own_rivals() -> None:
    rule = Hyperband(grace_period=1, reduction_factor=3, mode="max", num_virtual_epochs=9)
    of = [[number for number in range(17) if rule.bracket(number) == bracket] for bracket in range(3)]
    best = trial(of[1][0], 0.9)
    assert decide(rule, trial(of[0][0], 0.1), best) is Decision.GO_ON
    assert decide(rule, trial(of[0][0], 0.1), trial(of[0][1], 0.9)) is Decision.STOP
    assert decide(rule, trial(of[1][1], 0.1), best) is Decision.GO_ON
    deep = trial(of[1][0], 0.9, 0.9, 0.9)
    assert decide(rule, trial(of[1][1], 0.1, 0.1, 0.1), deep) is Decision.STOP


# --- Optuna's pruners, in a search


@pytest.mark.parametrize(("grace_period", "ended_after"), [(0, 1), (1, 2), (3, 4)])
def test_median_ends_no_trial_in_the_virtual_epochs_of_grace(
    tmp_path: Path, grace_period: int, ended_after: int
) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 4, "max_virtual_epochs": 6},
        scheduler={"name": "median", "startup_trials": 3, "grace_period": grace_period},
    )
    simulation = Simulation(tmp_path, config, by_number([0.5, 0.6, 0.7, 0.1])).run()
    assert [record.depth for record in simulation.records] == [6, 6, 6, ended_after]


def test_percentile_lets_the_best_part_go_on(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 7, "max_virtual_epochs": 2},
        scheduler={"name": "percentile", "startup_trials": 5, "percentile": 25.0},
    )
    simulation = Simulation(tmp_path, config, by_number([0.1, 0.2, 0.3, 0.4, 0.5, 0.35, 0.45])).run()
    assert [record.depth for record in simulation.records] == [2, 2, 2, 2, 2, 1, 2]


def test_a_trial_that_completed_twice_counts_once_for_the_median(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 3, "max_virtual_epochs": 2},
        scheduler={"name": "median", "startup_trials": 2},
    )
    curve = by_number([0.5, 0.9, 0.8])
    assert [r.depth for r in Simulation(tmp_path, config, curve).run().records] == [2, 2, 2]
    longer = Simulation(tmp_path, config, curve, limits={"max_virtual_epochs": 3}).run()
    # When trial 2 is decided, trial 1 has gone on already: with its 0.9 twice the median would be 0.85.
    assert [r.depth for r in longer.records] == [2, 3, 3]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize(
    "scheduler",
    [
        {"name": "asha"},
        {"name": "asha_stop"},
        {"name": "hyperband"},
        {"name": "median", "startup_trials": 1},
        {"name": "percentile", "startup_trials": 1},
        {"name": "none"},
    ],
    ids=lambda scheduler: scheduler["name"],
)
def test_a_rule_writes_nothing_and_answers_alike_when_asked_again(
    tmp_path: Path, scheduler: dict[str, Any], mode: str
) -> None:
    objective = {"metric": "accuracy", "mode": mode}
    config = config_of(sampler={"name": "random"}, scheduler=scheduler, objective=objective)
    simulation = Simulation(tmp_path, config, workers=2).run(max_reports=14)
    rule, study = build_rule(config), simulation.study
    before = (tmp_path / JOURNAL).read_bytes()
    asked = [record for record in simulation.records if record.values and record.outcome is None]
    first = [rule.after_report(study, record) for record in asked]
    assert [rule.after_report(study, record) for record in asked] == first
    promoted = rule.next_promotion(study, closing=False)
    assert rule.next_promotion(study, closing=False) is promoted
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_without_a_rule_every_trial_is_trained_to_its_end(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"}, scheduler={"name": "none"}, budget={"trials": 3, "max_virtual_epochs": 4}
    )
    simulation = Simulation(tmp_path, config).run()
    assert [record.depth for record in simulation.records] == [4, 4, 4]
    assert simulation.rule.expected_virtual_epochs(3, 4) == 12
