"""Where trials may pause first, by what a search measures of its rungs."""

from __future__ import annotations

import io
import random
import re
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from decisions import assert_decisions
from records import Records, promote, trial
from simulated_search import Simulation, config_of, cut_journal, num_lines, outcomes
from watched_search import watched

from search.run.events import EventKind
from search.samplers.view import StudyView
from search.schedulers.agreement import Agreement
from search.schedulers.asha import ASHA
from search.schedulers.base import Rungs
from search.schedulers.brackets import Brackets
from search.schedulers.build import build_scheduler
from search.screen.live import PlainView
from search.study.trial import Outcome, TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")

DEEPEST = 2
"""Bracket of a trial that is let through to the third rung."""


def level(record: TrialRecord) -> float:
    return random.Random(record.number).random()


def rising(record: TrialRecord, virtual_epoch: int) -> float:
    """Ranks are the same all along."""
    return level(record) * virtual_epoch


def crossing(record: TrialRecord, virtual_epoch: int) -> float:
    """Who is ahead until virtual epoch 8 is behind from there on."""
    return 1 - level(record) if virtual_epoch < 9 else 1 + level(record)


def searched(folder: Path, curve: Any, *, trials: int = 60, length: int = 27, **scheduler: Any) -> Simulation:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": trials, "max_virtual_epochs": length},
        scheduler={"name": "asha", **scheduler},
    )
    return Simulation(folder, config, curve, workers=4).run()


def pauses(simulation: Simulation, number: int) -> list[int]:
    return [depth for kind, at, depth in simulation.events if kind is EventKind.PAUSED and at == number]


# --- the agreement of ranks


def tau_by_hand(records: list[TrialRecord], index: int, deepest: int, rungs: Rungs, mode: Any) -> float:
    """The definition, pair by pair."""
    there = [record for record in records if rungs.index(record) >= deepest]
    alike, pairs = 0, 0
    for record, other in permutations(there, 2):
        early, late = (
            (rungs.value_at(record, at, mode) or 0) - (rungs.value_at(other, at, mode) or 0)
            for at in (index, deepest)
        )
        if record.bracket >= deepest - 1 and late:
            pairs += 1
            alike += (early * late > 0) - (early * late < 0)
    return alike / pairs


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("seed", range(3))
def test_agreement_follows_every_report_exactly(seed: int, mode: Any) -> None:
    numbers, rungs = random.Random(seed), Rungs()
    records = [trial(number, bracket=numbers.choice([0, 0, DEEPEST])) for number in range(30)]
    agreement = Agreement(records, rungs, mode, 3)
    for _ in range(400):
        record = numbers.choice(records)
        record.values.append(numbers.choice([0.1, 0.2, 0.3, 0.4]) + 0.05 * record.depth)
        agreement.update(record)
    assert 2 < agreement.num_let_through <= sum(r.bracket == DEEPEST and r.depth >= 9 for r in records)
    for index in (1, 2, 3):
        assert agreement.tau(index) == pytest.approx(tau_by_hand(records, index, 3, rungs, mode))
    made_anew = Agreement(records, rungs, mode, 3)
    assert made_anew.tau(1) == pytest.approx(agreement.tau(1))


def test_two_that_were_promoted_say_nothing_of_a_rung_and_one_let_through_does() -> None:
    promoted = [trial(0, *[0.5] * 8, 0.9), trial(1, *[0.6] * 8, 0.8)]
    assert Agreement(promoted, Rungs(), "max", 3).tau(1) == 0
    let_through = trial(2, *[0.1] * 8, 0.1, bracket=DEEPEST)
    assert Agreement([*promoted, let_through], Rungs(), "max", 3).tau(1) == 1


def test_a_trial_that_diverges_before_the_deepest_rung_is_last_there() -> None:
    broken = trial(0, 0.9, 0.9, outcome=Outcome.DIVERGED)
    let_through = trial(1, *[0.5] * 9, bracket=DEEPEST)
    agreement = Agreement([broken, let_through], Rungs(), "max", 3)
    assert (agreement.tau(1), agreement.tau(2)) == (-1, 1)


def test_pairs_that_are_equal_at_the_deepest_rung_say_nothing() -> None:
    equal = [trial(n, 0.1 * n, *[0.9] * 8, bracket=DEEPEST) for n in range(5)]
    agreement = Agreement(equal, Rungs(), "max", 3)
    assert (agreement.num_let_through, agreement.tau(1)) == (0, 0)
    brackets, best = Brackets(Rungs(), "max", 27), trial(5, *[0.0] * 8, 0.95)
    assert brackets.believed(Records(*equal)) == 0  # type: ignore[arg-type]
    # Five that differ from one other alone are one trial's worth.
    assert Agreement([*equal, best], Rungs(), "max", 3).num_let_through == 1


def test_what_failed_or_is_of_other_data_says_nothing() -> None:
    let_through = [trial(n, *[0.1 * n] * 9, bracket=DEEPEST) for n in range(4)]
    let_through[0].outcome, let_through[1].of_other_data = Outcome.FAILED, True
    agreement = Agreement(let_through, Rungs(), "max", 3)
    assert agreement.num_let_through == 2
    let_through[2].outcome = Outcome.OUT_OF_MEMORY
    agreement.update(let_through[2])
    assert (agreement.num_let_through, agreement.tau(1)) == (0, 0)


# --- which trials are let through, and what it takes


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("length", [2, 9, 27, 81, 243])
def test_letting_through_takes_at_most_a_ninth(length: int, factor: int) -> None:
    rungs = Rungs(reduction_factor=factor)
    brackets = Brackets(rungs, "max", length)
    usual = ASHA(rungs, "max", length).expected_virtual_epochs(10_000, length)
    assert usual is not None
    assert brackets.virtual_epochs_of(10_000) <= usual / 8.8  # as some are cut off
    assert not any(map(brackets.lets_through, range(10)))


def test_every_twentieth_trial_is_let_through_to_the_deepest_rung(tmp_path: Path) -> None:
    simulation = searched(tmp_path, rising)
    let_through = [r.number for r in simulation.records if r.bracket == DEEPEST]
    assert let_through == [10, 30, 50]
    assert all(pauses(simulation, number)[0] == 9 for number in let_through)
    assert pauses(simulation, 11)[0] == 1


@pytest.mark.parametrize("length", [1, 3])
def test_nobody_is_let_through_where_there_is_one_rung_or_none(tmp_path: Path, length: int) -> None:
    simulation = searched(tmp_path, rising, length=length)
    assert {record.bracket for record in simulation.records} == {0}


@pytest.mark.parametrize(
    "scheduler", [{"grace_period": 1}, {"grace_period": 3}, {"axis": "steps"}, {"name": "asha_stop"}], ids=str
)
def test_a_grace_period_that_is_given_holds_for_every_trial(tmp_path: Path, scheduler: Any) -> None:
    simulation = searched(tmp_path, crossing, **scheduler)
    assert {record.bracket for record in simulation.records} == {0}


# --- what follows from it


def test_where_ranks_agree_trials_pause_at_the_first_rung(tmp_path: Path) -> None:
    brackets = [r.bracket for r in searched(tmp_path, rising, trials=100).records]
    assert brackets.count(0) == 95


def test_where_curves_cross_trials_come_to_pause_at_the_deepest_rung_only(tmp_path: Path) -> None:
    simulation = searched(tmp_path, crossing, trials=100)
    brackets = [record.bracket for record in simulation.records]
    # One trial let through ranks against the few that were promoted; the second leaves no doubt.
    assert set(brackets[40:]) == {DEEPEST}
    best = max(range(100), key=lambda number: level(simulation.records[number]))
    by_hand = searched(tmp_path / "fixed", crossing, trials=100, grace_period=1)
    assert simulation.records[best].depth == 27
    assert by_hand.records[best].depth < 27


def test_nobody_is_promoted_from_a_rung_that_is_not_believed() -> None:
    rungs = Rungs()
    scheduler = ASHA(rungs, "max", 27, brackets=Brackets(rungs, "max", 27))
    shallow = [trial(number, 0.1 * number) for number in range(9)]
    assert promote(scheduler, *shallow) == 8
    against = [trial(9 + n, 0.1 * n, *[0.5] * 7, 1 - 0.1 * n, bracket=DEEPEST) for n in range(5)]
    assert promote(scheduler, *shallow, *against) == 9  # of five at the deepest rung, the best
    against[0].values += [0.9]
    against[0].running = True
    assert promote(scheduler, *shallow, *against) is None


def test_one_that_was_stopped_at_a_rung_that_it_passes_does_not_wait_there() -> None:
    """It is queued to train on: counted as waiting it would take a promotion from one that pauses."""
    rungs = Rungs()
    scheduler = ASHA(rungs, "max", 27, brackets=Brackets(rungs, "max", 27))
    deep = [trial(n, *[0.5] * 8, 0.5 + 0.01 * n) for n in range(4)]
    killed = [trial(n, 0.1 * n, bracket=DEEPEST) for n in (5, 6)]
    kept = [scheduler.may_promote(Records(*deep, *killed), 0)]  # type: ignore[arg-type]
    for record in killed:
        record.running = True
    kept += [scheduler.may_promote(Records(*deep, *killed), 0)]  # type: ignore[arg-type]
    assert kept[0] == kept[1] == [deep[3], deep[2]]
    assert promote(scheduler, *deep, trial(5, *[0.1] * 9), trial(6, *[0.2] * 9)) in (2, 3)


def test_at_the_end_one_let_through_does_not_go_on_before_one_that_is_better() -> None:
    rungs = Rungs(reduction_factor=5)
    scheduler = ASHA(rungs, "max", 100, brackets=Brackets(rungs, "max", 100))
    let_through = trial(1, *[0.1] * 24, 0.3, bracket=DEEPEST)
    assert promote(scheduler, trial(0, *[0.9] * 5), let_through, closing=True) == 0
    assert promote(scheduler, trial(0, *[0.05] * 5), let_through, closing=True) == 1


# --- what samplers learn


def test_one_let_through_that_is_bad_is_below_those_that_paused_before_it(tmp_path: Path) -> None:
    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        return 0.0 if record.number == 10 else rising(record, virtual_epoch)

    simulation = Simulation(tmp_path, searched(tmp_path / "any", rising, trials=40).config, curve, workers=3)
    while len(simulation.records) < 25:
        simulation.step()
    study, rule = simulation.study, simulation.rule
    values = {
        earned is not None: {
            frozen.number: frozen.value for frozen in StudyView(study, rule.rungs, **(earned or {}))()
        }
        for earned in (None, {"earned": partial(rule.earned, study)})
    }
    assert simulation.records[10].depth == 9
    assert values[False][10] > sorted(v for v in values[False].values() if v is not None)[-8]
    assert values[True][10] == 0


# --- a search remembers it


@pytest.mark.parametrize("curve", [rising, crossing])
def test_a_search_killed_anywhere_goes_on_with_the_same_brackets(tmp_path: Path, curve: Any) -> None:
    whole = searched(tmp_path / "whole", curve, trials=45)
    assert assert_decisions(tmp_path / "whole", whole.config)["begin"] == 45
    lines = num_lines(tmp_path / "whole")
    for at in range(7, lines, lines // 9):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut {at}", at)
        again = Simulation(folder, whole.config, curve, workers=4).run()
        assert_decisions(folder, whole.config)
        assert len(again.records) == 45


def test_one_worker_killed_anywhere_comes_to_the_same(tmp_path: Path) -> None:
    config = searched(tmp_path / "any", crossing, trials=1).config.model_copy(
        update={"budget": searched(tmp_path / "other", crossing, trials=40).config.budget}
    )
    whole = Simulation(tmp_path / "whole", config, crossing).run()
    lines = num_lines(tmp_path / "whole")
    for at in range(11, lines, lines // 6):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut {at}", at)
        assert outcomes(Simulation(folder, config, crossing).run().records) == outcomes(whole.records)


def test_the_expected_work_counts_those_let_through(tmp_path: Path) -> None:
    fixed = config_of(budget={"trials": 40, "max_virtual_epochs": 27}, scheduler={"grace_period": 1})
    auto = config_of(budget={"trials": 40, "max_virtual_epochs": 27})
    expected = [build_scheduler(config).expected_virtual_epochs(40, 27) for config in (fixed, auto)]
    assert expected[1] - expected[0] == 13  # type: ignore[operator]  # of trials 10 and 30, 6 2/3 each


def test_the_log_says_where_trials_pause_first_and_why(tmp_path: Path) -> None:
    out = io.StringIO()
    config = config_of(sampler={"name": "random"}, budget={"trials": 60, "max_virtual_epochs": 27})
    watched(tmp_path, PlainView(out, tmp_path / "search.log"), config, curve=crossing).run()
    started = {int(number): text for number, text in re.findall(r"trial (\d+) started(.*)", out.getvalue())}
    assert "=" in started[9].split()[0]
    assert started[10].startswith(", let through to virtual epoch 9: ")
    news = [text for text in started.values() if text.startswith(", as all from now on")]
    assert re.match(
        r", as all from now on not to pause before virtual epoch \d "
        r"\(ranks at 1, 3 agree with those at 9 by -?\d\.\d\d, -?\d\.\d\d: Kendall's tau\): ",
        news[0],
    )
    assert started[59].startswith(", not to pause before virtual epoch 9: ")


@pytest.mark.parametrize("sections", [{}, {"scheduler": {"name": "asha", "audit": 2}}], ids=str)
def test_checkpoints_are_kept_for_all_trials_that_can_still_begin(tmp_path: Path, sections: Any) -> None:
    """The next one may be let through: its first job is longer than that of those after it."""
    config = config_of(
        sampler={"name": "random"}, budget={"full_trainings": 6, "max_virtual_epochs": 27}, **sections
    )
    simulation = Simulation(tmp_path, config, rising)
    while len(simulation.records) < (10 if not sections else 0):
        simulation.step()
    left = 6 * 27 - sum(record.depth for record in simulation.records)
    assert simulation.coordinator.reserve.num_new_trials() == left


@pytest.mark.parametrize("curve", [rising, crossing])
def test_where_smaller_is_better_a_search_comes_to_the_same(tmp_path: Path, curve: Any) -> None:
    larger = searched(tmp_path / "max", curve)
    config = config_of(
        objective={"metric": "valid_loss", "mode": "min"},
        sampler={"name": "random"},
        budget={"trials": 60, "max_virtual_epochs": 27},
    )
    smaller = Simulation(
        tmp_path / "min", config, lambda record, depth: -curve(record, depth), workers=4
    ).run()
    assert [(r.bracket, r.depth) for r in smaller.records] == [(r.bracket, r.depth) for r in larger.records]
    assert any(record.bracket for record in smaller.records)
