"""A race that goes on: with more seeds, after failures and by other commands; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import interrupted_at
from in_process import resume_locally, search_locally
from tiny_tasks import search_config

import search
from search.commands.check import check
from search.commands.clean import clean
from search.commands.confirm import race
from search.commands.verify import verify
from search.errors import SearchError
from search.race.plan import read_plan
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.run.reporter import ProgressReporter
from search.study.reading import read_records
from search.study.study import JOURNAL
from trainables.checkpoints.checkpoint import checkpoint_folder, list_checkpoints

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


def test_a_search_that_was_killed_as_it_went_on_is_not_raced(tmp_path: Path) -> None:
    config = {**CONFIG, "confirm": None, "sampler": {"name": "random"}}
    for name, ends in (("cut", "cut within a trial"), ("between", "cut after one")):
        summary = search_locally(config, name=name, results=tmp_path)
        folder = RunFolder(Path(summary.folder))
        written = folder.summary.read_bytes()
        at = (2, 1) if ends == "cut within a trial" else (3, 1)
        resume_locally(folder.path, overrides=["budget.trials=5"], reporter=interrupted_at(*at))
        folder.summary.write_bytes(written)  # as a kill -9 leaves it
        if ends == "cut after one":
            cut_after_trial(folder.journal, 2)
        records = read_records(folder.journal)
        assert (None in [record.outcome for record in records]) == (ends == "cut within a trial")
        with pytest.raises(SearchError, match=r"went on after its summary of 2 trials.*`tune-search resume"):
            race(folder.path, local=True)
        assert not RunFolder(folder.confirm_path).path.exists()
        resume_locally(folder.path)
        assert race(folder.path, top=2, seeds=2, local=True).status == "complete"


def cut_after_trial(journal: Path, number: int) -> None:
    """Cut a journal right after the trial's end was written."""
    lines = journal.read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines) + 1):
        journal.write_bytes(b"".join(lines[:count]))
        records = read_records(journal)
        if len(records) == number + 1 and records[number].outcome is not None:
            return
    raise AssertionError(f"trial {number} never ended")


SPLIT = search_config(
    task="race_functions:SplitBySeedTask",
    budget={"trials": 1, "max_virtual_epochs": 1},
    confirm={"top": 1, "seeds": 2},
)
"""Its validation data follow the seed."""
FOLLOWS = "validation data of race_functions:SplitBySeedTask follow trial.seed"


def test_a_split_that_follows_the_seed_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=FOLLOWS):
        check(SPLIT)
    with pytest.raises(SearchError, match=FOLLOWS):
        search_locally(SPLIT, results=tmp_path)
    [folder] = tmp_path.iterdir()
    assert not (folder / JOURNAL).exists()


def test_a_refused_race_leaves_no_trace(tmp_path: Path) -> None:
    summary = search_locally({**SPLIT, "confirm": None}, results=tmp_path)
    with pytest.raises(SearchError, match=FOLLOWS):
        race(summary.folder, top=1, seeds=2, local=True)
    assert not (Path(summary.folder) / "confirm").exists()
    assert search.Run(summary.folder).confirmed is None
    assert search.export(summary.folder).note == ""


def test_verify_and_clean_know_the_race(tmp_path: Path) -> None:
    summary = search_locally(CONFIG, results=tmp_path)
    assert summary.confirmed is not None
    folder, run = RunFolder(Path(summary.folder)), summary.confirmed.run
    assert run is not None
    for given in (folder.path, folder.confirm_path):
        verified = verify(given)
        assert (verified.folder, verified.damages, verified.trials) == (folder.path, [], 2)
        assert verified.checkpoints == len(list(folder.path.rglob("model.safetensors"))) >= 6
    assert clean(folder.path).items[1:] == [], "all but one trial of the search stays"
    checkpoint = checkpoint_folder(RunFolder(folder.confirm_path).trial(run), 2)
    (checkpoint / "model.safetensors").write_bytes(b"spoiled")
    [damage] = verify(folder.path).damages
    assert damage.path == str(checkpoint.relative_to(folder.path))
    assert f"run {run} of the race, which stands for its winner" in damage.cost
    assert "--trial 0" in damage.cost
    with pytest.raises(SearchError, match=f"run {run} of the race, trial 0, cannot be exported.*--trial 0"):
        search.export(folder.path)
    assert search.export(folder.path, trial=0).trial == 0
    # Who races no longer may be removed, which a race of the others does not miss.
    narrowed = resume_locally(folder.path, overrides=["confirm.top=1", "confirm.seeds=3"])
    assert standings(narrowed) == {0: 3}
    cleaned = [item.path for item in clean(folder.path).items if item.path.startswith("confirm/trials")]
    raced = read_plan(RunFolder(folder.confirm_path).race)
    assert raced is not None
    former = [r.number for r in read_records(folder.confirm_path / JOURNAL) if raced.candidate_of(r) < 0]
    assert [Path(path).parts[2] for path in cleaned] == [f"{number:04d}" for number in former] != []
    folder.confirm_path.joinpath("race.yaml").write_text("top: [", encoding="utf-8")
    assert "race.yaml" in str(verify(folder.path).damages)


class Notes(ProgressReporter):
    """Keeps what a person should read."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)
