"""Trials are not compared while all learning rates still rise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from decisions import assert_decisions
from simulated_search import SPACE, Simulation, config_of, cut_journal, num_lines

from search.config.config import Config
from search.run.events import EventKind
from search.schedulers.base import Rungs
from search.schedulers.build import build_scheduler
from search.schedulers.warmup import early_rung_note, first_bracket, shortest_warmup
from search.study.trial import TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")

COSINE = {"name": "cosine", "warmup": 0.05}


def warming_up(
    schedule: Any,
    *,
    length: int = 27,
    unit: dict[str, int] | None = None,
    batch_size: int = 8,
    **scheduler: Any,
) -> Config:
    return config_of(
        {**SPACE, "lr_schedule": schedule, "batch_size": batch_size},
        sampler={"name": "random"},
        virtual_epoch=unit or {"steps": 20},
        budget={"trials": 40, "max_virtual_epochs": length},
        scheduler={"name": "asha", **scheduler},
    )


def slow_starter(record: TrialRecord, virtual_epoch: int) -> float:
    """Who is ahead after the first virtual epoch is behind from then on."""
    return float(-record.number if virtual_epoch == 1 else record.number)


@pytest.mark.parametrize(
    ("schedule", "unit", "expected"),
    [
        (COSINE, {"steps": 20}, 1.35),
        (COSINE, {"epochs": 1}, 1.35),
        ({"name": "cosine", "warmup": 30}, {"steps": 20}, 1.5),
        ({"name": "cosine", "warmup": 30}, {"samples": 160}, 1.5),
        ({"name": "cosine", "warmup": 30}, {"epochs": 1}, 0.0),  # whose steps depend on the data
        ({"name": "cosine"}, {"steps": 20}, 0.0),
        ({"name": "one_cycle"}, {"steps": 20}, 0.0),
        ({"name": "cosine", "warmup": {"uniform": [0.05, 0.2]}}, {"steps": 20}, 1.35),
        ({"choice": [COSINE, {"name": "constant"}]}, {"steps": 20}, 0.0),
        ({"choice": [COSINE, {"name": "linear", "warmup": 0.1}]}, {"steps": 20}, 1.35),
    ],
    ids=str,
)
def test_the_warm_up_that_all_trials_have(schedule: Any, unit: dict[str, int], expected: float) -> None:
    assert shortest_warmup(warming_up(schedule, unit=unit)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("warmup", "length", "bracket"),
    [(0.0, 27, 0), (0.03, 27, 0), (0.05, 27, 1), (0.2, 81, 2), (0.5, 27, 1), (0.5, 9, 0), (0.5, 1, 0)],
)
def test_rungs_within_the_warm_up_are_passed_as_long_as_two_remain(
    warmup: float, length: int, bracket: int
) -> None:
    config = warming_up({"name": "cosine", "warmup": warmup}, length=length)
    assert first_bracket(config, Rungs()) == bracket
    assert build_scheduler(config).first_bracket == bracket


def test_trials_pause_first_after_the_warm_up(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, warming_up(COSINE), slow_starter, workers=4).run()
    pauses = {depth for kind, _, depth in simulation.events if kind is EventKind.PAUSED}
    assert pauses == {3, 9}
    assert simulation.records[39].depth == 27
    by_hand = Simulation(tmp_path / "1", warming_up(COSINE, grace_period=1), slow_starter, workers=4).run()
    assert {depth for kind, _, depth in by_hand.events if kind is EventKind.PAUSED} == {1, 3, 9}


def test_what_it_is_forecast_to_take_is_counted_from_there() -> None:
    scheduler = build_scheduler(warming_up(COSINE))
    begins_at_3 = build_scheduler(warming_up(COSINE, grace_period=3))
    assert begins_at_3.expected_virtual_epochs(9, 27) == scheduler.expected_virtual_epochs(9, 27) == 63
    assert scheduler.rungs.describe(27, bracket=scheduler.first_bracket) == "3, 9"


def test_killed_anywhere_it_goes_on_with_the_same_decisions(tmp_path: Path) -> None:
    whole = Simulation(tmp_path / "whole", warming_up(COSINE), slow_starter, workers=3).run()
    lines = num_lines(tmp_path / "whole")
    for at in range(7, lines, lines // 5):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut {at}", at)
        Simulation(folder, whole.config, slow_starter, workers=3).run()
        assert_decisions(folder, whole.config)


@pytest.mark.parametrize(
    ("scheduler", "length", "told"),
    [
        ({"grace_period": 1}, 27, True),
        ({"grace_period": 3}, 27, False),
        ({}, 27, False),
        ({"name": "asha_stop"}, 27, True),
        ({"name": "hyperband"}, 27, True),
        ({"grace_period": 20, "axis": "steps"}, 27, False),
        ({"name": "none"}, 27, False),
        ({"name": "median"}, 27, False),
        ({"grace_period": 1}, 9, False),
    ],
    ids=str,
)
def test_a_first_rung_that_is_set_within_the_warm_up_is_told(
    scheduler: dict[str, Any], length: int, told: bool
) -> None:
    config = warming_up(COSINE, length=length, **scheduler)
    note = early_rung_note(config, build_scheduler(config))
    assert ("compared at virtual epoch 1, while all learning rates still rise, up to 1.35" in note) == told
    assert told or not note
