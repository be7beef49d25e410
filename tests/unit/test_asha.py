"""ASHA and ASHAStopping, decision by decision."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from effort import num_calls
from records import Records, decide, promote, trial
from simulated_search import Simulation, config_of

from search.run.events import Event, EventKind
from search.schedulers.asha import ASHA, ASHAStopping
from search.schedulers.base import Decision, Rungs, Scheduler
from search.study.trial import Outcome, TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")


# --- promotion


def test_a_trial_pauses_at_a_rung_but_not_at_its_end() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    decisions = [decide(scheduler, trial(0, *[0.0] * depth)) for depth in range(1, 10)]
    assert [depth for depth, d in enumerate(decisions, start=1) if d is Decision.PAUSE] == [1, 3]


def test_nobody_is_promoted_before_the_fraction_gives_one() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    assert promote(scheduler) is None
    assert promote(scheduler, trial(0, 0.5), trial(1, 0.9)) is None
    assert promote(scheduler, trial(0, 0.5), trial(1, 0.9), trial(2, 0.7)) == 1


def test_a_promoted_trial_takes_its_place_until_more_have_come() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    six = [trial(number, 0.9 - number / 10) for number in range(6)]
    six[0].running = True
    assert promote(scheduler, *six) == 1
    assert promote(scheduler, *six[:5]) is None


def test_the_deepest_rung_is_served_first() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=27)
    shallow = [trial(number, 0.9, running=False) for number in range(9)]
    deep = [trial(9 + number, 0.1, 0.1, 0.1 + number / 10) for number in range(3)]
    assert promote(scheduler, *shallow, *deep) == 11


def test_running_ended_and_waiting_trials_are_not_promoted() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    records = [
        trial(0, 0.9, outcome=Outcome.STOPPED),
        trial(1, 0.8, running=True),
        trial(2, 0.7, 0.7),  # between two rungs: its process was lost
        trial(3, 0.1),
        *(trial(number, 0.0) for number in range(4, 9)),
    ]
    assert promote(scheduler, *records) is None


def test_when_closing_the_best_goes_on_alone_once_nothing_runs() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    two = [trial(0, 0.5), trial(1, 0.9)]
    assert promote(scheduler, *two, closing=False) is None
    assert promote(scheduler, *two, closing=True) == 1
    two[0].running = True
    assert promote(scheduler, *two, closing=True) is None


def test_when_closing_nobody_goes_on_where_one_is_trained_to_the_end() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=3)
    done = trial(0, 0.1, 0.1, 0.1, outcome=Outcome.COMPLETED)
    assert promote(scheduler, done, trial(1, 0.9), closing=True) is None


def test_an_ended_trial_is_promoted_only_where_it_may_go_on_and_keeps_its_place_anyway() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    ended = trial(0, 0.9, outcome=Outcome.STOPPED)
    others = [trial(number, 0.5 - number / 100) for number in range(1, 6)]
    assert promote(scheduler, ended, *others) == 1
    assert promote(scheduler, ended, *others[:4]) is None
    ended.resumable = True
    assert promote(scheduler, ended, *others) == 0


def test_trials_of_a_former_full_length_are_paused_where_that_was_a_rung() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=27)
    completed = [
        trial(n, *[0.1 * n] * 9, outcome=Outcome.COMPLETED, stopped_by_budget=False, resumable=True)
        for n in range(3)
    ]
    assert promote(scheduler, *completed) == 2
    assert promote(scheduler, *completed[:2]) is None
    assert promote(scheduler, *completed[:2], closing=True) == 1


# --- trials that may yet be promoted


def may_promote(scheduler: Scheduler, num_new: int, *records: TrialRecord) -> list[int]:
    return sorted(r.number for r in scheduler.may_promote(Records(*records), num_new))  # type: ignore[arg-type]


def test_as_many_may_be_promoted_as_would_be_if_all_came_to_their_rung_that_can() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    paused = [trial(number, 0.9 - number / 10) for number in range(5)]
    assert may_promote(scheduler, 0, *paused) == [0]
    assert may_promote(scheduler, 1, *paused) == [0, 1]
    assert may_promote(scheduler, 100, *paused) == [0, 1, 2, 3, 4]
    # One that is under way to the rung, and one that is there and runs on.
    assert may_promote(scheduler, 0, *paused, trial(5, running=True)) == [0, 1]
    paused[0].running = True
    assert may_promote(scheduler, 1, *paused) == [1]


def test_the_best_of_a_rung_may_be_promoted_alone() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    assert may_promote(scheduler, 0, trial(0, 0.5), trial(1, 0.9)) == [1]
    assert may_promote(scheduler, 0, trial(0, 0.5, 0.5, 0.5), trial(1, 0.9), trial(2, 0.8)) == [0, 1]


def test_an_ended_trial_may_be_promoted_only_where_it_may_go_on() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=9)
    ended = [trial(number, 0.9 - number / 10, outcome=Outcome.STOPPED) for number in range(3)]
    assert may_promote(scheduler, 9, *ended) == []
    ended[1].resumable = True
    assert may_promote(scheduler, 3, *ended) == [1]


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
    assert kept[-1] <= max(simulation.rule.rungs.index(record) for record in simulation.records)


def test_the_work_of_choosing_a_promotion_grows_with_the_trials_and_no_faster() -> None:
    scheduler = ASHA(Rungs(), "max", num_virtual_epochs=81)
    records = [
        trial(n, *[n % 7 / 7] * (1 if n % 3 else 3 if n % 9 else 9 if n % 27 else 27)) for n in range(1000)
    ]
    half = num_calls(lambda: promote(scheduler, *records[:500]))
    whole = num_calls(lambda: promote(scheduler, *records))
    assert whole < 2.2 * half
    assert whole < 100 * len(records)


# --- stopping


def test_stopping_ends_a_trial_that_is_not_among_the_best_third() -> None:
    scheduler = ASHAStopping(Rungs(), "max")
    others = [trial(number, number / 10) for number in range(1, 6)]
    assert decide(scheduler, trial(9, 0.45), *others) is Decision.GO_ON
    assert decide(scheduler, trial(9, 0.35), *others) is Decision.STOP
    assert decide(scheduler, trial(9, 0.4), *others) is Decision.GO_ON  # as good as the last that goes on
    assert decide(scheduler, trial(9, 0.0, 0.0), *others) is Decision.GO_ON  # no rung


def test_stopping_with_mode_min_keeps_the_smallest() -> None:
    scheduler = ASHAStopping(Rungs(), "min")
    others = [trial(number, number / 10) for number in range(1, 6)]
    assert decide(scheduler, trial(9, 0.05), *others) is Decision.GO_ON
    assert decide(scheduler, trial(9, 0.35), *others) is Decision.STOP


def test_the_first_trials_at_a_rung_are_held_against_the_best_only() -> None:
    scheduler = ASHAStopping(Rungs(), "max")
    assert decide(scheduler, trial(0, 0.1)) is Decision.GO_ON
    assert decide(scheduler, trial(1, 0.2), trial(0, 0.1)) is Decision.GO_ON
    assert decide(scheduler, trial(1, 0.05), trial(0, 0.1)) is Decision.STOP


def test_a_diverged_trial_holds_nobody_back() -> None:
    scheduler = ASHAStopping(Rungs(), "max")
    diverged = [trial(number, 0.9, outcome=Outcome.DIVERGED) for number in range(3)]
    assert decide(scheduler, trial(9, 0.1), *diverged) is Decision.GO_ON
