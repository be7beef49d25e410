"""A race that goes on: with more seeds, after failures and by other commands; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from in_process import search_locally

import search
from search.commands.confirm import race
from search.run.summary import Summary
from trainables.checkpoint import list_checkpoints

CONFIG: dict[str, Any] = {
    "name": "raced",
    "task": "race_functions:noisy",
    "objective": {"metric": "loss", "mode": "min"},
    "virtual_epoch": {"steps": 2},
    "budget": {"trials": 2, "max_virtual_epochs": 2},
    "scheduler": {"name": "none"},
    "sampler": {"name": "grid"},
    "trial": {"cursed": {"choice": [[3], []]}},
    "confirm": {"top": 2, "seeds": 2},
}
"""Two trials alike, of which the first wins until its run with the third seed fails."""


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Away from the repository, whose modules would all be looked through for each search."""
    with chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


def checkpoints(summary: Summary) -> dict[str, list[int]]:
    """The virtual epochs of which each run of the race has a checkpoint."""
    trials = sorted((Path(summary.folder) / "confirm/trials").iterdir())
    return {trial.name: list_checkpoints(trial) for trial in trials}


def test_whoever_wins_with_more_seeds_can_be_exported(tmp_path: Path) -> None:
    summary = search_locally(CONFIG, results=tmp_path)
    assert summary.confirmed is not None
    assert summary.confirmed.winner == 0
    summary = race(summary.folder, seeds=3, local=True)
    found = summary.confirmed
    assert found is not None
    assert (found.winner, found.seed) == (1, 1), "a run from when it had lost"
    assert list(checkpoints(summary).values()) == [[2], [2], [2], [2], [], [2]]
    exported = search.export(summary.folder)
    assert (exported.trial, exported.value) == (1, pytest.approx(found.candidates[0].values["1"]))
