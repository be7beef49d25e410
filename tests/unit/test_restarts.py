"""A search that is killed between any two writes of its journal, and started again."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from decisions import assert_decisions
from killed_simulations import assert_alike_when_killed
from simulated_search import (
    FLAT_SPACE,
    RULES,
    SPACE,
    Simulation,
    assert_whole,
    by_number,
    config_of,
    cut_journal,
    num_lines,
)

from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import Outcome, TrialRecord
from trainables.process.failure import Failure, FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_search_killed_after_each_single_write_goes_on_alike(tmp_path: Path, rule: str) -> None:
    config = config_of(sampler={"name": "random", "seed": 1}, **RULES[rule])
    assert_alike_when_killed(tmp_path, config, stride=1)


@pytest.mark.parametrize("rule", RULES)
def test_a_search_killed_between_writes_goes_on_alike(tmp_path: Path, rule: str) -> None:
    config = config_of(sampler={"name": "random", "seed": 1}, **RULES[rule])
    assert_alike_when_killed(tmp_path, config, stride=5 if rule == "asha" else 29)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "qmc", "grid"])
def test_a_sampler_killed_between_writes_draws_alike(tmp_path: Path, sampler: str) -> None:
    space = FLAT_SPACE if sampler == "gp" else SPACE
    if sampler == "grid":
        space = {
            "model": {"hidden": {"choice": [8, 16, 32]}},
            "optimizer": {"name": "adamw", "lr": {"choice": [1e-3, 1e-2, 1e-1]}},
        }
    config = config_of(
        space,
        sampler={"name": sampler, "seed": 1, "startup_trials": 3},
        budget={"trials": 6 if sampler == "gp" else 9, "max_virtual_epochs": 9},
    )
    assert_alike_when_killed(tmp_path, config, stride=37 if sampler == "gp" else 19)


def noise(*key: Any) -> float:
    """From 0 to 1, always the same for the same key."""
    return random.Random(str(key)).random()


def rough_curve(record: TrialRecord, virtual_epoch: int) -> float:
    """Learning curves that cross each other; one virtual epoch in 25 diverges."""
    if noise("diverges", record.number, virtual_epoch) < 0.04:
        return math.nan
    return round(3 * noise(record.number) + noise(record.number, virtual_epoch), 1)


def troubles(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
    """A quarter of the trials fails for good at some point, every tenth virtual epoch once."""
    if noise("bad", number) < 0.25 and virtual_epoch > 5 * noise("at", number):
        return FailureKind.ERROR
    return FailureKind.DIED if noise("dies", number, virtual_epoch, attempt) < 0.1 else None


TROUBLED: dict[str, Any] = {"curve": rough_curve, "faults": troubles, "limits": {"max_failed_trials": 99}}


@pytest.mark.parametrize("rule", RULES)
def test_a_troubled_search_killed_between_writes_goes_on_alike(tmp_path: Path, rule: str) -> None:
    config = config_of(sampler={"name": "random"}, **RULES[rule])
    assert_alike_when_killed(tmp_path, config, stride=17, **TROUBLED)


@pytest.mark.parametrize("rule", RULES)
def test_several_workers_killed_between_writes_decide_as_if_they_had_not_been(
    tmp_path: Path, rule: str
) -> None:
    config = config_of(
        sampler={"name": "random"}, **RULES[rule], budget={"trials": 12, "max_virtual_epochs": 9}
    )
    whole = tmp_path / "whole"
    reference = Simulation(whole, config, workers=4, **TROUBLED).run()
    outcomes_seen = {record.outcome for record in reference.records}
    assert {Outcome.DIVERGED, Outcome.FAILED} <= outcomes_seen
    decided = assert_decisions(whole, config)
    assert decided["begin"] == 12
    assert decided["promote" if "asha" in rule.split() else "go on" if rule == "none" else "stop"] > 1
    for lines in range(1, num_lines(whole), 13):
        folder = cut_journal(whole, tmp_path / f"cut{lines}", lines, extra_bytes=lines % 3 * 10)
        resumed = Simulation(folder, config, workers=4, **TROUBLED).run()
        assert_whole(folder, resumed.records)
        assert assert_decisions(folder, config)["begin"] == 12, f"killed after write {lines}"


def test_a_decision_is_not_made_again_after_another_trial_has_failed_since(tmp_path: Path) -> None:
    """Among five trials the last one would be stopped; among the six that were there it is not."""
    config = config_of(sampler={"name": "random"}, **RULES["asha_stop"])
    curve = by_number([0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.0, 0.0, 0.0])
    first = Simulation(
        tmp_path,
        config,
        curve,
        workers=6,
        limits={"max_failures": 0},
        faults=lambda number, v, _: FailureKind.ERROR if (number, v) == (0, 2) else None,
    ).run(max_reports=7)
    assert first.records[0].outcome is Outcome.FAILED
    assert [record.depth for record in first.records] == [1] * 6
    again = Simulation(tmp_path, config, curve, workers=6).run()
    assert again.records[5].depth > 1
    assert_decisions(tmp_path, config)


def test_a_decision_that_was_due_is_made_before_anything_else(tmp_path: Path) -> None:
    """Also before another trial ends, which has failed more often than is allowed now."""
    config = config_of(sampler={"name": "random"}, **RULES["asha_stop"])
    curve = by_number([0.1, 0.2, 0.3, 0.4, 0.9, 0.3, 0.0, 0.0, 0.0])
    first = Simulation(tmp_path, config, curve, workers=6).run(max_reports=5)
    study, (failed, *_, due) = first.study, first.records
    study.add_failure(failed, Failure(FailureKind.ERROR, "why"))
    study.report(due, 0.3, first.lengths(due), seconds=1.0)
    again = Simulation(tmp_path, config, curve, workers=6, limits={"max_failures": 0})
    assert (due.number, again.records[5].outcome) == (5, Outcome.STOPPED)
    assert again.records[0].outcome is Outcome.FAILED
    again.run()
    assert_decisions(tmp_path, config)


def test_a_sampler_with_a_history_draws_alike_when_it_was_killed(tmp_path: Path) -> None:
    older = config_of(SPACE, sampler={"name": "random", "seed": 5})
    Simulation(tmp_path / "older", older).run()
    history = read_records(tmp_path / "older" / JOURNAL)
    config = config_of(FLAT_SPACE, sampler={"name": "tpe", "seed": 1, "startup_trials": 3})
    assert_alike_when_killed(tmp_path, config, stride=19, history=history)


def test_a_search_that_is_killed_again_and_again_comes_to_its_end(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    for _ in range(50):
        simulation = Simulation(tmp_path, config, workers=2)
        simulation.step()
        if all(record.outcome for record in simulation.records) and len(simulation.records) == 9:
            break
    assert_whole(tmp_path, Simulation(tmp_path, config).run().records)
