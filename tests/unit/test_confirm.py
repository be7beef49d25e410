"""`confirm:` after a search: its runs, interrupted anywhere; its summary, its export and its refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from faulty_runs import interrupted_at
from in_process import resume_locally, search_locally
from race_functions import SplitBySeedTask
from simulated_search import history
from tiny_tasks import DigitsTask, search_config

import search
from search.commands.confirm import race
from search.config.schema import Confirm
from search.config.stages import load_config
from search.errors import ConfigError, SearchError
from search.race.split import other_validation
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.run.outcome.summary_file import read_summary
from search.screen.texts.confirm import confirmed_lines
from search.screen.texts.export import export_text
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.study import JOURNAL

# Whole searches in this process.

CONFIG: dict[str, Any] = {
    "name": "raced",
    "task": "race_functions:noisy",
    "objective": {"metric": "loss", "mode": "min"},
    "virtual_epoch": {"steps": 2},
    "budget": {"trials": 4, "max_virtual_epochs": 2},
    "scheduler": {"name": "none"},
    "sampler": {"name": "grid"},
    "trial": {"lr": {"choice": [0.5, 0.1, 0.105, 0.9]}},
    "confirm": {"top": 2, "seeds": 3},
}


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Away from the repository: nothing of a search is left in it."""
    with chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, elsewhere: None) -> Summary:
    return search_locally(CONFIG, results=tmp_path_factory.mktemp("results"))


def test_a_search_is_confirmed_over_seeds_that_change_the_weights(done: Summary) -> None:
    race = done.confirmed
    assert race is not None
    assert (done.status, race.status, race.seeds) == ("complete", "complete", [1, 2, 3])
    assert [standing.trial for standing in race.candidates] in ([1, 2], [2, 1])
    for standing in race.candidates:
        values = list(standing.values.values())
        assert len(set(values)) == len(values) >= 2
    records = read_records(Path(done.folder) / "confirm" / JOURNAL)
    assert {record.depth for record in records} == {2}
    assert {record.resolved.options["seed"] for record in records} >= {1, 2}
    # The search itself is as without a race.
    assert (done.trials, done.counts) == (4, {"completed": 4})
    assert read_summary(RunFolder(Path(done.folder))) == done


def test_python_and_the_last_screen_show_the_race(done: Summary) -> None:
    run = search.Run(done.folder)
    assert run.confirmed is not None
    race = done.confirmed
    assert race is not None
    best = race.candidates[0]
    row = run.confirmed.loc[best.trial]
    assert (row["mean"], row["std"], row["seeds"]) == (best.mean, best.std, best.seeds)
    assert row["seed_1"] == best.values["1"]
    text = summary_text(done)
    assert (
        f"winner of the race, trial {best.trial}: loss {best.mean:.4g} ± {best.std:.4g} over 3 seeds" in text
    )
    assert f"to export: seed {race.seed}, the run of median value" in text
    rivals = [str(each.trial) for each in race.candidates[1:] if each.left_after is None]
    note = f"the test does not tell trial {best.trial} from {', '.join(rivals)}; more seeds may"
    assert (note in text) == bool(rivals)
    tied = replace(race, candidates=[replace(each, left_after=None) for each in race.candidates])
    assert f"does not tell trial {best.trial} from " in "\n".join(confirmed_lines(tied, "loss"))


def test_the_winner_comes_before_what_the_search_had_as_its_best(done: Summary) -> None:
    race, found = done.confirmed, done.best
    assert race is not None
    assert race.best is not None
    assert found is not None
    assert found.trial == race.winner
    _, first, second, *_ = summary_text(done).split("\n\n")
    head, *rows = first.splitlines()
    assert head.startswith(f"winner of the race, trial {race.winner}: loss {race.best.mean:.4g} ")
    assert rows[0] == f"  lr = {race.best.params['lr']}"
    value = f"loss {found.value:.4g} at virtual epoch 2, step 4"
    assert second == f"in the search, by one seed each, trial {found.trial} was the best too: {value}"
    other = replace(done, best=replace(found, trial=0))
    assert summary_text(other).split("\n\n")[1:3] == [
        first,
        second.replace("1 was the best too", "0 was the best"),
    ]
    unfinished = summary_text(replace(done, confirmed=replace(race, status="unfinished", winner=None)))
    assert unfinished.split("\n\n")[1].startswith(f"best trial {found.trial}: loss")


def test_export_takes_the_winner_and_its_run_of_median_value(done: Summary, tmp_path: Path) -> None:
    race = done.confirmed
    assert race is not None
    values = race.candidates[0].values
    exported = search.export(done.folder, out=tmp_path / "export")
    assert exported.trial == race.winner
    assert exported.value == pytest.approx(sorted(v for v in values.values() if v is not None)[1])
    assert values[str(race.seed)] == pytest.approx(exported.value)
    config = yaml.safe_load((tmp_path / "export/config.yaml").read_text(encoding="utf-8"))
    assert config["trial"]["seed"] == race.seed
    metrics = json.loads((tmp_path / "export/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["trial"], metrics["confirmed"]["values"]) == (race.winner, values)
    card = (tmp_path / "export/README.md").read_text(encoding="utf-8")
    assert f"These weights are of `trial.seed` {race.seed}, the run of median value." in card
    assert f"raced, trial {race.winner}" in card
    assert f"this is seed {race.seed}, the run of median value" in export_text(exported)


def test_any_trial_of_the_search_can_be_exported_still(done: Summary, tmp_path: Path) -> None:
    for number in (0, 1):
        exported = search.export(done.folder, trial=number, out=tmp_path / f"{number}")
        assert (exported.trial, exported.confirmed) == (number, None)
        config = yaml.safe_load((tmp_path / f"{number}/config.yaml").read_text(encoding="utf-8"))
        assert config["trial"].get("seed", 0) == 0


@pytest.mark.parametrize("at", [(1, 1), (3, 2)])
def test_a_race_that_is_interrupted_ends_as_if_it_had_not_been(
    at: tuple[int, int], done: Summary, tmp_path: Path
) -> None:
    config = {**CONFIG, "confirm": None}
    whole = search_locally(config, results=tmp_path)
    assert whole.confirmed is None
    options: dict[str, Any] = {"top": 2, "seeds": 3, "local": True}
    cut = race(whole.folder, reporter=interrupted_at(*at), **options)
    assert (cut.status, cut.confirmed and cut.confirmed.status) == ("interrupted", "unfinished")
    assert f"tune-search confirm {whole.folder}" in summary_text(cut).replace("\n", " ")
    exported = search.export(whole.folder, out=tmp_path / "export")
    assert (exported.trial, exported.confirmed) == (1, None)
    assert "the race over seeds is not over" in export_text(exported)
    again = race(whole.folder, local=True)
    assert (again.status, again.reason, again.confirmed) == ("complete", done.reason, done.confirmed)
    folders = [Path(summary.folder) / "confirm" for summary in (done, again)]
    assert history(folders[0]) == history(folders[1])


def test_a_search_that_goes_on_races_anew_with_the_runs_that_there_are(tmp_path: Path) -> None:
    config = {**CONFIG, "trial": {"lr": {"choice": [0.5, 0.4, 0.1]}}, "sampler": {"name": "random"}}
    points = {"name": "random", "points_to_evaluate": [{"lr": 0.5}, {"lr": 0.4}]}
    config |= {"budget": {"trials": 2, "max_virtual_epochs": 2}, "sampler": points, "confirm": None}
    first = search_locally(config, results=tmp_path)
    raced = race(first.folder, top=2, seeds=2, local=True)
    assert raced.confirmed is not None
    assert raced.confirmed.winner == 1
    more = ["budget.trials=3", "sampler.points_to_evaluate=[{lr: 0.1}]"]
    grown = resume_locally(first.folder, overrides=more)
    assert grown.confirmed is not None
    assert (grown.best and grown.best.trial, grown.confirmed.status) == (2, "outdated")
    exported = search.export(first.folder, out=tmp_path / "export")
    assert (exported.trial, exported.confirmed) == (2, None)
    assert "is of an earlier state of the search" in exported.note
    again = race(first.folder, local=True)
    assert again.confirmed is not None
    assert (again.confirmed.winner, again.confirmed.status) == (2, "complete")
    records = read_records(Path(first.folder) / "confirm" / JOURNAL)
    assert [record.resolved.options["lr"] for record in records] == [0.4, 0.5, 0.4, 0.5, 0.1, 0.1]


def test_a_failing_run_and_too_few_trials_are_told(tmp_path: Path) -> None:
    config = {**CONFIG, "confirm": {"top": 5, "seeds": 2}, "budget": {"trials": 2, "max_virtual_epochs": 2}}
    config |= {"trial": {"lr": {"choice": [0.1, 0.2]}, "cursed": [2]}}
    summary = search_locally(config, results=tmp_path)
    race = summary.confirmed
    assert race is not None
    text = summary_text(summary)
    assert "2 trials of 5 race: no other one has a value and values of its own" in text
    for standing in race.candidates:
        assert standing.broken == {"2": "failed: RuntimeError: seed 2 is cursed"} or "cursed" in str(standing)
        assert (standing.seeds, standing.std) == (2, None)


def test_a_training_that_ignores_the_seed_is_told(tmp_path: Path) -> None:
    config = {**CONFIG, "trial": {"lr": {"choice": [0.1]}, "fixed": True}, "confirm": {"top": 1, "seeds": 2}}
    summary = search_locally(config | {"budget": {"trials": 1, "max_virtual_epochs": 2}}, results=tmp_path)
    assert "has the same value with every seed: does its training use trial.seed?" in summary_text(summary)


def test_stages_are_followed_by_a_race_of_the_last_one(tmp_path: Path) -> None:
    stages = [
        {"name": "first", "trial": {"lr": {"choice": [0.2, 0.1]}}},
        {"name": "second", "trial": {"spread": {"choice": [0.5, 0.01, 0.2]}}},
    ]
    config = {**CONFIG, "trial": {"lr": 0.3, "seed": 1}, "stages": stages}
    summary = search_locally(config, results=tmp_path)
    race = summary.confirmed
    assert race is not None
    assert (summary.status, race.status, race.seeds) == ("complete", "complete", [2, 3, 4])
    records = read_records(Path(summary.folder) / "confirm" / JOURNAL)
    assert {record.resolved.options["lr"] for record in records} == {0.1}
    assert search.export(summary.folder).stage == "2-second"
    again = search_locally(config, results=tmp_path)
    assert again.confirmed == race


def test_a_task_whose_split_follows_the_seed_is_refused(tmp_path: Path) -> None:
    assert other_validation(DigitsTask, {}, (1, 2), None) == ""
    assert "other samples with seed 1 than with seed 2" in other_validation(SplitBySeedTask, {}, (1, 2), None)
    config = search_config(
        task="race_functions:SplitBySeedTask",
        budget={"trials": 1, "max_virtual_epochs": 1},
        confirm={"top": 1, "seeds": 2},
    )
    with pytest.raises(
        SearchError, match=r"validation data of race_functions:SplitBySeedTask follow trial.seed"
    ):
        search_locally(config, results=tmp_path)


def test_an_incomplete_search_and_the_folder_of_a_race_are_refused(done: Summary, tmp_path: Path) -> None:
    cut = search_locally(CONFIG, results=tmp_path, reporter=interrupted_at(1, 1))
    assert (cut.status, cut.confirmed) == ("interrupted", None)
    with pytest.raises(SearchError, match=r"is interrupted .*`tune-search resume"):
        race(cut.folder, local=True)
    with pytest.raises(SearchError, match="is the race of the best trials of a search; give"):
        resume_locally(Path(done.folder) / "confirm")


@pytest.mark.parametrize(
    ("confirm", "message"),
    [
        ({"seeds": 1}, r"confirm\.seeds: received 1; must be at least 2"),
        ({"top": 0}, r"confirm\.top: received 0"),
        ({"error": 0.6}, r"confirm\.error: received 0\.6"),
        ({"seed": 3}, r"confirm\.seed: unknown key .*seeds"),
    ],
)
def test_mistakes_in_the_section_name_value_and_rule(confirm: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config({**CONFIG, "confirm": confirm})


def test_a_configuration_without_the_section_is_written_as_before() -> None:
    assert "confirm" not in load_config(search_config()).raw
    loaded = load_config({**CONFIG, "confirm": {}})
    assert loaded.confirm == Confirm(top=3, seeds=5, error=0.05)
    assert loaded.raw["confirm"] == {"top": 3, "seeds": 5, "error": 0.05}
