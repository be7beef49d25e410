"""Standings that follow a study, against those made anew from its records."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from simulated_search import SPACE, Simulation, config_of

from search.schedulers.early_stopping import Rungs
from search.schedulers.rung_table import NO_VERDICT, Standings, standings_of
from search.space.space import parse_space
from search.study.recalled import Recalled
from search.study.study import SearchStudy, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import FailureKind


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def noisy(record: TrialRecord, virtual_epoch: int) -> float:
    """Equal values are common, and some trials diverge."""
    dice = random.Random(f"{record.number} {virtual_epoch}")
    return float("nan") if dice.random() < 0.05 else dice.randrange(8) / 8


def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
    return FailureKind.ERROR if number % 7 == 3 and virtual_epoch == 2 else None


def look(standings: Standings) -> list[Any]:
    """All that can be asked of them."""
    levels = range(1, standings.num_levels + 1)
    return [
        (
            [record.number for record in standings.ranked(level)],
            [(place, record.number) for place, record in standings.waiting(level)],
            standings.num_unended(level),
        )
        for level in levels
    ]


@pytest.mark.parametrize("scheduler", ["asha", "asha_stop"])
@pytest.mark.parametrize("axis", ["virtual_epochs", "samples"])
def test_they_follow_a_search_through_all_that_happens(tmp_path: Path, scheduler: str, axis: Any) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 24, "max_virtual_epochs": 9},
        scheduler={"name": scheduler},
    )
    rungs = Rungs(grace_period=1 if axis == "virtual_epochs" else 100, axis=axis)
    lengths = [
        VirtualEpochs(unit="steps", count=count, step_samples=16, epoch_samples=1200) for count in (5, 40)
    ]
    simulation = Simulation(
        tmp_path,
        config,
        noisy,
        workers=3,
        faults=faults,
        limits={"max_failed_trials": 99},
        lengths=lambda record: lengths[record.number % 2],
    )
    kept = standings_of(simulation.study, rungs, "max")
    seen = 0
    while not all(record.outcome for record in simulation.records) or not simulation.records:
        simulation.step()
        assert look(kept) == look(Standings(simulation.records, rungs, "max"))
        seen += 1
    assert standings_of(simulation.study, rungs, "max") is kept
    assert seen > 24
    assert kept.num_levels >= 3


def test_places_are_those_of_sorting(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 20, "max_virtual_epochs": 9})
    study = (
        Simulation(tmp_path, config, noisy, workers=2, faults=faults, limits={"max_failed_trials": 99})
        .run()
        .study
    )
    rungs = Rungs()
    standings = standings_of(study, rungs, "max")
    for level in range(1, standings.num_levels + 1):
        ranked = rungs.ranked(study.records, level, "max")
        assert list(standings.ranked(level)) == ranked
        assert [standings.place(record, level) for record in ranked] == list(range(len(ranked)))
        assert [standings.at(level, place) for place in range(len(ranked))] == ranked
    assert any(record.outcome in NO_VERDICT for record in study.records)


def test_a_group_has_only_its_own_trials(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    study: SearchStudy = Simulation(tmp_path, config, noisy).run().study
    even = standings_of(study, Rungs(), "max", group="even", among=lambda number: number % 2 == 0)
    assert {record.number % 2 for record in even.ranked(1)} == {0}
    assert standings_of(study, Rungs(), "max") is not even


def test_a_recalled_configuration_is_what_was_resolved() -> None:
    space = parse_space(SPACE)
    for resolved in space.candidates():
        recalled = Recalled(space, resolved.params)
        assert recalled == resolved
        assert resolved == recalled
        assert (recalled.tree, recalled.raw, recalled.origin) == (
            resolved.tree,
            resolved.raw,
            resolved.origin,
        )
        assert recalled.source(("optimizer", "lr")) == resolved.source(("optimizer", "lr"))
