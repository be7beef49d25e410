"""A search that is killed between any two writes of its journal, and started again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from simulated_search import (
    FLAT_SPACE,
    RULES,
    SPACE,
    Simulation,
    assert_whole,
    config_of,
    cut_journal,
    history,
    num_lines,
    outcomes,
)

from search.coordinator import Turn


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_search_killed_after_each_single_write_goes_on_alike(tmp_path: Path, rule: str) -> None:
    config = config_of(sampler={"name": "random", "seed": 1}, scheduler=RULES[rule])
    assert_alike_when_killed(tmp_path, config, stride=1)


@pytest.mark.parametrize("rule", RULES)
def test_a_search_killed_between_writes_goes_on_alike(tmp_path: Path, rule: str) -> None:
    config = config_of(sampler={"name": "random", "seed": 1}, scheduler=RULES[rule])
    assert_alike_when_killed(tmp_path, config, stride=5 if rule == "asha" else 29)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc", "grid"])
def test_a_sampler_killed_between_writes_draws_alike(tmp_path: Path, sampler: str) -> None:
    space = FLAT_SPACE if sampler in ("gp", "cmaes") else SPACE
    if sampler == "grid":
        space = {
            "model": {"hidden": {"choice": [8, 16, 32]}},
            "optimizer": {"name": "adamw", "lr": {"choice": [1e-3, 1e-2, 1e-1]}},
        }
    config = config_of(
        space,
        sampler={"name": sampler, "seed": 1, "startup_trials": 3},
        budget={"trials": 6 if sampler == "gp" else 9, "virtual_epochs": 9},
    )
    assert_alike_when_killed(tmp_path, config, stride={"gp": 37, "cmaes": 13}.get(sampler, 19))


def assert_alike_when_killed(tmp_path: Path, config: Any, stride: int) -> None:
    whole = tmp_path / "whole"
    reference = Simulation(whole, config).run()
    assert_whole(whole, reference.records)
    for lines in range(1, num_lines(whole), stride):
        folder = cut_journal(whole, tmp_path / f"cut{lines}", lines, extra_bytes=lines % 3 * 10)
        resumed = Simulation(folder, config).run()
        assert outcomes(resumed.records) == outcomes(reference.records), f"killed after write {lines}"
        assert history(folder) == history(whole), f"killed after write {lines}"


@pytest.mark.parametrize("rule", ["asha", "asha_stop", "median"])
def test_several_workers_killed_between_writes_leave_nothing_missing_or_double(
    tmp_path: Path, rule: str
) -> None:
    config = config_of(sampler={"name": "tpe", "seed": 1, "startup_trials": 3}, scheduler=RULES[rule])
    whole = tmp_path / "whole"
    Simulation(whole, config, workers=4).run()
    for lines in range(1, num_lines(whole), 23):
        folder = cut_journal(whole, tmp_path / f"cut{lines}", lines)
        resumed = Simulation(folder, config, workers=4).run()
        assert_whole(folder, resumed.records)
        assert [record.number for record in resumed.records] == list(range(9))


def test_a_search_that_is_killed_again_and_again_comes_to_its_end(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    for _ in range(50):
        simulation = Simulation(tmp_path, config, workers=2)
        simulation.step()
        if all(record.outcome for record in simulation.records) and len(simulation.records) == 9:
            break
    assert_whole(tmp_path, Simulation(tmp_path, config).run().records)


def test_a_finished_search_started_again_does_nothing(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    first = Simulation(tmp_path, config).run()
    told = history(tmp_path)
    again = Simulation(tmp_path, config)
    assert again.coordinator.next_trial() is Turn.DONE
    again.run()
    assert outcomes(again.records) == outcomes(first.records)
    assert history(tmp_path) == told


def test_more_trials_can_be_asked_for_afterwards(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    first = Simulation(tmp_path, config).run()
    before = outcomes(first.records)
    more = Simulation(tmp_path, config, limits={"trials": 12}).run()
    assert outcomes(more.records)[:9] == before
    assert len(more.records) == 12
    assert_whole(tmp_path, more.records)
