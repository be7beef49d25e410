"""A race that goes on: with more seeds, after failures and by other commands; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally

import search
from search.commands.confirm import race
from search.run.reporter import ProgressReporter
from search.run.summary import Summary
from search.study.study import JOURNAL, read_records
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


def standings(summary: Summary) -> dict[int, int]:
    """How many seeds each candidate has run."""
    assert summary.confirmed is not None
    return {standing.trial: standing.seeds for standing in summary.confirmed.candidates}


def test_the_searchs_own_commands_keep_a_race_that_was_widened(tmp_path: Path) -> None:
    config = {**CONFIG, "confirm": {"top": 1, "seeds": 2}}
    summary = search_locally(config, results=tmp_path)
    assert standings(summary) == {0: 2}
    widened = race(summary.folder, top=2, seeds=3, local=True)
    assert standings(widened) == {0: 3, 1: 3}
    assert resume_locally(summary.folder).confirmed == widened.confirmed
    assert search_locally(config, results=tmp_path).confirmed == widened.confirmed
    # What is configured anew counts, and who does not race any more is told.
    notes = Notes()
    narrowed = resume_locally(summary.folder, overrides=["confirm.top=1", "confirm.seeds=4"], reporter=notes)
    assert standings(narrowed) == {0: 4}
    assert any("trial 1 races no longer" in note for note in notes.texts)
    # Only once: a command may widen it again.
    assert standings(race(summary.folder, top=2, local=True)) == {0: 3, 1: 4}
    assert resume_locally(summary.folder).confirmed == race(summary.folder, local=True).confirmed


def test_failed_runs_of_a_race_that_is_over_are_tried_again(tmp_path: Path) -> None:
    spell = tmp_path / "spell"
    spell.touch()
    config = {**CONFIG, "confirm": {"top": 2, "seeds": 3}}
    summary = search_locally(config, overrides=[f"trial.spell={spell}"], results=tmp_path)
    assert summary.confirmed is not None
    assert (summary.confirmed.winner, standings(summary)) == (1, {0: 3, 1: 3})
    spell.unlink()
    assert race(summary.folder, local=True).confirmed == summary.confirmed
    again = race(summary.folder, retry_failed=True, local=True).confirmed
    assert again is not None
    assert (again.status, again.winner, again.candidates[0].broken) == ("complete", 0, {})
    first, second = again.candidates
    assert first.values == second.values, "the same training, with the same seeds"
    assert len(read_records(Path(summary.folder) / "confirm" / JOURNAL)) == 6, "no run is new"


class Notes(ProgressReporter):
    """Keeps what a person should read."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)
