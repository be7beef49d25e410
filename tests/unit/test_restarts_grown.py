"""A search that has ended and continues: more or longer trials, more time or steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from decisions import assert_decisions
from grown_searches import (
    asking,
    assert_alike_when_killed,
    assert_told_once,
    entries,
    results,
)
from simulated_search import (
    FALLING,
    NONE,
    RULES,
    Simulation,
    by_number,
    cut_journal,
    num_lines,
    outcomes,
)

from search.run.events import EventKind, Turn
from search.screen.pace import share_done
from search.study.trial import Outcome
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


# --- nothing to do


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limits", [{}, {"seconds": 12.0}, {"steps": 70}], ids=str)
def test_an_ended_search_started_again_with_the_same_limits_writes_nothing_but_its_time(
    tmp_path: Path, rule: str, limits: dict[str, Any]
) -> None:
    config = asking(**RULES[rule])
    first = Simulation(tmp_path, config, workers=2, limits=limits).run()
    before = entries(tmp_path)
    again = Simulation(tmp_path, config, workers=2, limits=limits)
    assert again.coordinator.next_job() is Turn.DONE
    again.run()
    assert outcomes(again.records) == outcomes(first.records)
    new = entries(tmp_path)[len(before) :]
    assert {key for entry in new for key in entry["user_attr"]} <= {"elapsed_seconds", "session"}


# --- more trials


def test_trials_that_were_paused_to_the_end_are_promoted_among_more_trials(tmp_path: Path) -> None:
    curve = by_number(FALLING, gain=0.001)
    first = Simulation(tmp_path, asking(9), curve).run()
    assert [r.depth for r in first.records] == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    more = Simulation(tmp_path, asking(18), curve).run()
    whole = Simulation(tmp_path / "whole", asking(18), curve).run()
    assert results(more.records) == results(whole.records)
    begun = assert_told_once(tmp_path, more.records)
    promoted = {number for kind, number, _ in more.events if kind is EventKind.PROMOTED}
    assert {1, 3, 4, 5} <= promoted
    assert {number for number, count in begun.items() if count > 1} == {1, 3, 4, 5}
    assert_decisions(tmp_path, asking(18))
    held = {"virtual_epochs", "spent", "space", "trial", "promoted", "continues"}
    reopened = [e["user_attrs"] for e in entries(tmp_path) if "continues" in e.get("user_attrs", {})]
    assert all({key for key in attrs if not key.startswith("jobs/")} == held for attrs in reopened)


@pytest.mark.parametrize("rule", ["asha_stop", "hyperband", "plateau", "none"])
def test_more_trials_leave_those_that_have_ended_as_they_are(tmp_path: Path, rule: str) -> None:
    before = outcomes(Simulation(tmp_path, asking(9, **RULES[rule])).run().records)
    more = Simulation(tmp_path, asking(14, **RULES[rule])).run()
    assert outcomes(more.records)[:9] == before
    whole = Simulation(tmp_path / "whole", asking(14, **RULES[rule])).run()
    assert outcomes(more.records) == outcomes(whole.records)
    assert set(assert_told_once(tmp_path, more.records).values()) == {1}


def test_a_search_can_grow_again_and_again(tmp_path: Path) -> None:
    for trials, virtual_epochs in [(3, 3), (9, 3), (9, 9), (12, 27), (20, 27)]:
        config = asking(trials, virtual_epochs)
        simulation = Simulation(tmp_path, config, workers=3).run()
        assert len(simulation.records) == trials
        assert max(r.depth for r in simulation.records) == virtual_epochs
        assert_told_once(tmp_path, simulation.records)
    assert_decisions(tmp_path, config)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("rule", ["asha", "asha_stop", "median", "none"])
def test_a_search_that_has_grown_is_killed_anywhere(tmp_path: Path, rule: str, workers: int) -> None:
    folder = tmp_path / "grown"
    Simulation(folder, asking(9, 3, **RULES[rule]), workers=workers).run()
    before = num_lines(folder)
    config = asking(12, 9, **RULES[rule])
    Simulation(folder, config, workers=workers).run()
    assert_decisions(folder, config)
    if workers == 1:
        assert_alike_when_killed(folder, before, config, stride=9)
        return
    for lines in range(before, num_lines(folder), 9):
        cut = cut_journal(folder, tmp_path / f"cut{lines}", lines)
        assert_told_once(cut, Simulation(cut, config, workers=workers).run().records)
        assert_decisions(cut, config)


# --- longer trials


def test_longer_trials_are_those_of_a_search_that_was_longer_from_the_start(tmp_path: Path) -> None:
    """By promotion: all that had come to the former full length are paused there, as it was a rung."""
    curve = by_number([1 - n / 100 for n in range(27)])
    fixed = {"scheduler": {"grace_period": 1}}  # else some are let through to the deepest rung of then
    first = Simulation(tmp_path / "grown", asking(27, 9, **fixed), curve).run()
    assert [r.outcome for r in first.records].count(Outcome.COMPLETED) == 3
    grown = Simulation(tmp_path / "grown", asking(27, 27, **fixed), curve).run()
    whole = Simulation(tmp_path / "whole", asking(27, 27, **fixed), curve).run()
    assert [r[:3] for r in results(grown.records)] == [r[:3] for r in results(whole.records)]
    # The two that did not go on have had their end.
    assert [r.outcome for r in grown.records[:4]] == [Outcome.COMPLETED] * 3 + [Outcome.STOPPED]
    begun = assert_told_once(tmp_path / "grown", grown.records)
    assert [number for number, count in begun.items() if count > 1] == [0]


@pytest.mark.parametrize("rule", ["none", "plateau"])
def test_without_rungs_all_completed_trials_go_on_that_the_rule_lets(tmp_path: Path, rule: str) -> None:
    rules = RULES[rule]
    curve = by_number(FALLING, gain=0.1) if rule == "none" else None
    options = {} if curve is None else {"curve": curve}
    Simulation(tmp_path / "grown", asking(5, 4, **rules), **options).run()
    grown = Simulation(tmp_path / "grown", asking(5, 9, **rules), **options).run()
    whole = Simulation(tmp_path / "whole", asking(5, 9, **rules), **options).run()
    assert [r[:3] for r in results(grown.records)] == [r[:3] for r in results(whole.records)]
    assert max(assert_told_once(tmp_path / "grown", grown.records).values()) == 2
    assert_decisions(tmp_path / "grown", asking(5, 9, **rules))


def test_by_stopping_completed_trials_go_on_that_are_among_the_best_of_their_former_end(
    tmp_path: Path,
) -> None:
    # Each one is better than those before, so none is stopped, and all nine come to virtual epoch 3.
    curve = by_number(FALLING[:9][::-1])
    config = asking(9, 3, **RULES["asha_stop"])
    assert {r.depth for r in Simulation(tmp_path, config, curve).run().records} == {3}
    longer = asking(9, 9, **RULES["asha_stop"])
    grown = Simulation(tmp_path, longer, curve).run()
    assert [r.depth for r in grown.records] == [3] * 6 + [9] * 3
    assert [r.outcome for r in grown.records] == [Outcome.COMPLETED] * 9
    assert_told_once(tmp_path, grown.records)
    assert_decisions(tmp_path, longer)


def test_a_trial_without_a_checkpoint_stays_ended_and_keeps_its_place(tmp_path: Path) -> None:
    curve, fixed = by_number(FALLING), {"scheduler": {"grace_period": 1}}
    before = outcomes(Simulation(tmp_path, asking(9, **fixed), curve).run().records)
    more = Simulation(tmp_path, asking(12, 27, **fixed), curve, can_go_on=lambda record: False)
    assert more.coordinator.going_on() == set()
    more.run()
    assert outcomes(more.records)[:9] == before
    assert set(assert_told_once(tmp_path, more.records).values()) == {1}
    # Of twelve at the first rung four go on; the three best are ended, and trial 3 is too.
    assert [r.depth for r in more.records[9:]] == [27, 1, 1]


def test_the_progress_of_a_longer_search_begins_where_the_shorter_one_ended(tmp_path: Path) -> None:
    Simulation(tmp_path, asking(4, 3, scheduler=NONE)).run()
    longer = Simulation(tmp_path, asking(4, 6, scheduler=NONE))
    assert share_done(longer.coordinator) == 0.5
    assert share_done(longer.run().coordinator) == 1.0


# --- more time or steps


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limits", [{"seconds": 7.5}, {"steps": 39}], ids=str)
def test_with_a_later_limit_a_search_comes_to_what_it_would_have_come_to_without(
    tmp_path: Path, rule: str, limits: dict[str, Any]
) -> None:
    config = asking(**RULES[rule], sampler={"name": "tpe", "startup_trials": 3})
    whole = Simulation(tmp_path / "whole", config).run()
    cut = Simulation(tmp_path / "cut", config, limits=limits).run()
    assert cut.coordinator.ending in ("time limit", "step limit")
    assert any(r.stopped_by_budget for r in cut.records)
    before = num_lines(tmp_path / "cut")
    later = Simulation(tmp_path / "cut", config).run()
    assert results(later.records) == results(whole.records)
    assert_told_once(tmp_path / "cut", later.records)
    assert_decisions(tmp_path / "cut", config)
    assert_alike_when_killed(tmp_path / "cut", before, config, stride=23)


def test_a_trial_that_was_lost_before_its_first_report_when_time_was_up_begins_with_more_time(
    tmp_path: Path,
) -> None:
    config = asking(3, 2, scheduler=NONE)
    faults = lambda number, v, attempt: FailureKind.DIED if (number, attempt) == (1, 0) else None  # noqa: E731
    first = Simulation(tmp_path, config, limits={"seconds": 5.0}, faults=faults).run()
    assert [(r.depth, r.stopped_by_budget) for r in first.records] == [(2, False), (0, True)]
    again = Simulation(tmp_path, config, can_go_on=lambda record: record.depth > 0).run()
    assert [(r.depth, r.outcome) for r in again.records] == [(2, Outcome.COMPLETED)] * 3
    assert len(again.records[1].failures) == 1
    assert_told_once(tmp_path, again.records)
