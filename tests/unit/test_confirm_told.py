"""What a race over seeds says of itself, and that it is not raced, or exported, on what is no longer so."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import interrupted_at
from gan_trials import SMALL
from in_process import resume_locally, search_locally

import search
from search.commands.clean import clean
from search.commands.confirm import race
from search.errors import SearchError
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.run.reporter import ProgressReporter
from search.screen.live import PlainView
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.study import JOURNAL

pytestmark = pytest.mark.usefixtures("no_fsync")

CONFIG: dict[str, Any] = {
    "name": "raced",
    "task": "race_functions:noisy",
    "objective": {"metric": "loss", "mode": "min"},
    "virtual_epoch": {"steps": 2},
    "budget": {"trials": 2, "max_virtual_epochs": 2},
    "scheduler": {"name": "none"},
    "sampler": {"name": "grid"},
    "trial": {"cursed": {"choice": [[3], []]}},
}
"""Two trials alike, of which the first wins until its run with the third seed fails."""


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Away from the repository, whose modules would all be looked through for each search."""
    with chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


class Notes(ProgressReporter):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


class KilledAtItsBegin(ProgressReporter):
    def begin(self, *begun: Any) -> None:
        raise RuntimeError("killed")


@pytest.fixture
def done(tmp_path: Path) -> Summary:
    return search_locally(CONFIG, results=tmp_path)


def test_fewer_seeds_than_the_race_has_begun_with_are_told(done: Summary) -> None:
    first = race(done.folder, top=2, seeds=3, local=True)
    notes = Notes()
    again = race(done.folder, seeds=2, local=True, reporter=notes)
    assert again.confirmed == first.confirmed
    assert notes.texts == [
        "confirm: received 2 seeds, and the race has begun with 3; all of these stay, as their runs count"
    ]


def test_one_that_runs_alone_is_not_confirmed_nor_the_best_by_chance(done: Summary, tmp_path: Path) -> None:
    alone = race(done.folder, top=1, seeds=2, local=True)
    assert alone.confirmed is not None
    assert (alone.confirmed.winner, alone.confirmed.candidates[0].chance) == (0, None)
    text = summary_text(alone)
    assert "over 2 seeds, with no other trial to compare it with, 2 virtual epochs each" in text
    assert not any(word in text for word in ("confirmed", "100%", "chance", "t-test"))
    exported = search.export(done.folder, out=tmp_path / "export")
    card = (exported.folder / "README.md").read_text(encoding="utf-8")
    assert "and not compared with other trials." in card


def test_after_an_interruption_the_last_screen_says_that_the_race_was_and_not_the_search(
    done: Summary,
) -> None:
    cut = race(done.folder, top=2, seeds=3, local=True, reporter=interrupted_at(1, 1))
    lines = summary_text(cut).splitlines()
    assert lines[0] == "search complete: all 2 trials are done"
    assert lines[1].startswith("race interrupted: ")
    assert summary_text(race(done.folder, local=True)).splitlines()[1] == ""


def test_the_runs_of_a_race_are_not_called_trials(done: Summary, tmp_path: Path) -> None:
    out = io.StringIO()
    race(done.folder, top=2, seeds=3, local=True, reporter=PlainView(out, tmp_path / "search.log"))
    lines = [line[9:] for line in out.getvalue().splitlines()]
    assert "run 1 is of trial 1, with seed 1" in lines
    assert "run 1 started seed=1" in lines
    assert any(line.startswith("run 1 virtual epoch 2/2 loss ") for line in lines)
    assert "trial 0 leaves after 3 seeds: more of its runs failed or diverged, against trial 1" in lines
    begun = next(line for line in lines if line.startswith("search "))
    assert begun.startswith("search raced, confirm: 6 runs, up to 2 virtual epochs each")


def test_a_search_that_was_to_go_on_and_was_killed_before_any_trial_is_not_raced(done: Summary) -> None:
    folder = RunFolder(Path(done.folder))
    with pytest.raises(RuntimeError, match="killed"):
        resume_locally(folder.path, overrides=["budget.trials=1000"], reporter=KilledAtItsBegin())
    with pytest.raises(SearchError, match=r"was to go on with another configuration.*`tune-search resume"):
        race(folder.path, local=True)
    assert not folder.confirm_path.exists()
    assert resume_locally(folder.path).trials == 2, "the grid has no more"
    confirmed = race(folder.path, top=2, seeds=2, local=True).confirmed
    assert confirmed is not None
    assert confirmed.status == "complete"


def test_who_races_again_after_a_clean_can_be_exported(done: Summary) -> None:
    options: dict[str, Any] = {"seeds": 3, "local": True}
    both = race(done.folder, top=2, **options).confirmed
    assert both is not None
    assert both.winner == 1
    race(done.folder, top=1, **options)
    assert any("races no longer" in item.why for item in clean(done.folder).items)
    notes = Notes()
    again = race(done.folder, top=2, reporter=notes, **options).confirmed
    assert again is not None
    assert [(each.trial, each.values) for each in again.candidates] == [
        (each.trial, each.values) for each in both.candidates
    ]
    assert [text for text in notes.texts if "runs again" in text] == [
        f"trial 1 runs again with seed {seed}: the checkpoint of that run was removed" for seed in (1, 2, 3)
    ]
    assert search.export(done.folder).trial == 1
    number = len(read_records(Path(done.folder) / "confirm" / JOURNAL))
    assert race(done.folder, top=2, **options).confirmed == again
    assert len(read_records(Path(done.folder) / "confirm" / JOURNAL)) == number, "no run is repeated twice"


def test_gans_race_over_seeds(tmp_path: Path) -> None:
    config = {
        "name": "gans",
        "task": "gan",
        "objective": {"metric": "frechet_distance", "mode": "min"},
        "trial": {**SMALL, "discriminator_steps": {"choice": [1, 2]}},
        "virtual_epoch": {"steps": 3},
        "budget": {"trials": 2, "max_virtual_epochs": 2},
        "scheduler": {"name": "none"},
        "sampler": {"name": "grid"},
        "confirm": {"top": 2, "seeds": 2},
    }
    found = search_locally(config, results=tmp_path).confirmed
    assert found is not None
    assert (found.status, found.seeds) == ("complete", [1, 2])
    for standing in found.candidates:
        assert len(set(standing.values.values())) == 2, "the seed changes the training"
    exported = search.export(tmp_path / "gans")
    assert (exported.trial, exported.evaluated) == (found.winner, True)
