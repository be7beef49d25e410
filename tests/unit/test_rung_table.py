"""Rung tables that follow a study, against those made anew from its records."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
from records import trial
from simulated_search import Simulation, config_of

from search.schedulers.base import Rungs
from search.schedulers.rung_table import RungTable, rung_table_of
from search.study.study import SearchStudy
from search.study.trial import NO_VERDICT, Outcome, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


def noisy(record: TrialRecord, virtual_epoch: int) -> float:
    """Equal values are common, and some trials diverge."""
    dice = random.Random(f"{record.number} {virtual_epoch}")
    return float("nan") if dice.random() < 0.05 else dice.randrange(8) / 8


def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
    return FailureKind.ERROR if number % 7 == 3 and virtual_epoch == 2 else None


def look(table: RungTable) -> list[Any]:
    """All that can be asked of them."""
    indices = range(1, table.num_rungs + 1)
    return [
        (
            [record.number for record in table.ranked(index)],
            [(rank, record.number) for rank, record in table.waiting(index)],
            table.num_unended(index),
        )
        for index in indices
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
    kept = rung_table_of(simulation.study, rungs, "max")
    seen = 0
    while not all(record.outcome for record in simulation.records) or not simulation.records:
        simulation.step()
        assert look(kept) == look(RungTable(simulation.records, rungs, "max"))
        seen += 1
    assert rung_table_of(simulation.study, rungs, "max") is kept
    assert seen > 24
    assert kept.num_rungs >= 3


def sorted_at(rungs: Rungs, records: list[TrialRecord], index: int) -> list[TrialRecord]:
    """By Li et al.: what each had shown when it came to the rung, the diverged last."""

    def key(record: TrialRecord) -> tuple[float, int]:
        value = rungs.value_at(record, index, "max")
        assert value is not None
        return (math.inf if record.outcome is Outcome.DIVERGED else -value), record.number

    counting = [r for r in records if r.outcome not in NO_VERDICT]
    return sorted((r for r in counting if rungs.value_at(r, index, "max") is not None), key=key)


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
    assert [r.number for r in RungTable(records, Rungs(), "max").ranked(1)] == [1, 4, 5, 0, 2]
    assert [r.number for r in RungTable(records, Rungs(), "min").ranked(1)] == [0, 5, 1, 4, 2]


def test_ranks_are_those_of_sorting(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 20, "max_virtual_epochs": 9})
    study = (
        Simulation(tmp_path, config, noisy, workers=2, faults=faults, limits={"max_failed_trials": 99})
        .run()
        .study
    )
    rungs = Rungs()
    table = rung_table_of(study, rungs, "max")
    for index in range(1, table.num_rungs + 1):
        ranked = sorted_at(rungs, study.records, index)
        assert list(table.ranked(index)) == ranked
        assert [table.rank(record, index) for record in ranked] == list(range(len(ranked)))
        assert [table.at(index, rank) for rank in range(len(ranked))] == ranked
    assert any(record.outcome in NO_VERDICT for record in study.records)


def test_a_group_has_only_its_own_trials(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    study: SearchStudy = Simulation(tmp_path, config, noisy).run().study
    even = rung_table_of(study, Rungs(), "max", group="even", among=lambda number: number % 2 == 0)
    assert {record.number % 2 for record in even.ranked(1)} == {0}
    assert rung_table_of(study, Rungs(), "max") is not even
