"""`confirm:` after a search: its runs, interrupted anywhere; its summary, its export and its refusals."""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from faulty_runs import interrupted_at
from in_process import resume_locally, search_locally
from race_functions import SplitBySeedTask
from simulated_search import assert_whole, cut_journal, history, num_lines, outcomes
from tiny_tasks import DigitsTask, search_config

import search
from benchmarks.simulated import SimulatedExecutor
from search.commands.confirm import race
from search.config.config import Config
from search.config.schema import Confirm
from search.config.stages import load_config
from search.errors import ConfigError, SearchError
from search.race.confirmed import confirmed_by
from search.race.plan import Candidate, RacePlan
from search.race.split import other_validation
from search.run.confirm import RaceCoordinator, RaceStudy, race_config
from search.run.folder import RunFolder
from search.run.summary import Summary, read_summary
from search.screen.confirm_text import confirmed_lines
from search.screen.text import export_text, summary_text
from search.study.study import JOURNAL, read_records
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import FailureKind

LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)
WIDTHS = {8: 0.9, 16: 0.8, 32: 0.6}
"""Mean value of a width of the simulated model."""


@functools.cache
def digits() -> Config:
    return load_config(search_config()).first


def plan_of(*widths: int, seeds: int = 5, error: float = 0.05) -> RacePlan:
    candidates = [
        Candidate(trial=10 + n, value=0.9, virtual_epochs=3, params={}, options={"model": {"hidden": width}})
        for n, width in enumerate(widths)
    ]
    numbers = tuple(range(1, seeds + 1))
    return RacePlan(top=3, seeds=numbers, error=error, virtual_epochs=3, candidates=tuple(candidates))


def accuracy(record: TrialRecord, virtual_epoch: int) -> float:
    """Some noise of the seed and of the configuration; the last virtual epoch is the best."""
    options = record.resolved.options
    noise = zlib.crc32(f"{options}".encode()) / 2**32
    return WIDTHS[options["model"]["hidden"]] + 0.01 * noise - 0.1 * (3 - virtual_epoch)


class Raced:
    """A race without training: the real study and coordinator, simulated workers."""

    def __init__(
        self,
        folder: Path,
        plan: RacePlan,
        *,
        curve: Callable[[TrialRecord, int], float] = accuracy,
        workers: int = 1,
        reports: int | None = None,
        **faults: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        config = race_config(digits(), plan, 0)
        executor = SimulatedExecutor(
            curve, metric="accuracy", lengths=lambda record: LENGTHS, workers=workers, **faults
        )
        self.notes: list[str] = []
        self.study = RaceStudy(folder / JOURNAL, name="race", mode="max", space=config.space)
        clock = executor.clock
        self.coordinator = RaceCoordinator(
            self.study, plan, config, note=self.notes.append, concurrency=workers, clock=clock
        )
        self.coordinator.recover()
        while (reports is None or reports > 0) and executor.step(self.coordinator):
            reports = None if reports is None else reports - 1
        if reports is None:
            self.coordinator.close(resumable=False)
        self.records = self.study.records


def test_rounds_are_paired_and_a_worse_candidate_leaves(tmp_path: Path) -> None:
    raced = Raced(tmp_path, plan_of(8, 16, 32))
    assert_whole(tmp_path, raced.records)
    runs = [(r.resolved.options["model"]["hidden"], r.params["seed"]) for r in raced.records]
    # 16 and 32 are worse by 0.1 and 0.3, and the noise is below 0.01: some two or three seeds show it.
    found = confirmed_by(plan_of(8, 16, 32), raced.records, "max")
    assert (found.status, found.winner) == ("complete", 10)
    left = {standing.trial: standing.left_after for standing in found.candidates}
    assert left[10] is None
    assert all(after in (2, 3, 4) for trial, after in left.items() if trial != 10)
    rounds = {10: 5, **{trial: after or 5 for trial, after in left.items()}}
    rounds[10] = 5
    expected = [
        (width, seed)
        for seed in range(1, 6)
        for trial, width in ((10, 8), (11, 16), (12, 32))
        if seed <= rounds[trial]
    ]
    assert runs == expected
    assert sum("leaves after" in note for note in raced.notes) == 2
    assert all(record.depth == 3 for record in raced.records)
    assert [standing.seeds for standing in found.candidates] == [
        rounds[standing.trial] for standing in found.candidates
    ]
    assert found.candidates[0].chance == pytest.approx(1.0)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_race_that_is_killed_after_any_write_ends_as_the_undisturbed_one(
    workers: int, tmp_path: Path
) -> None:
    plan, whole = plan_of(8, 16, 32), tmp_path / "whole"
    reference = Raced(whole, plan, workers=workers)
    assert_whole(whole, reference.records)
    confirmed = confirmed_by(plan, reference.records, "max")
    for lines in range(1, num_lines(whole), 7 if workers == 1 else 11):
        folder = cut_journal(whole, tmp_path / f"cut{lines}", lines, extra_bytes=lines % 3 * 10)
        resumed = Raced(folder, plan, workers=workers)
        if workers == 1:
            assert outcomes(resumed.records) == outcomes(reference.records), f"killed after write {lines}"
            assert history(folder) == history(whole), f"killed after write {lines}"
        assert confirmed_by(plan, resumed.records, "max") == confirmed, f"killed after write {lines}"


def test_a_run_that_diverges_counts_as_worst_and_is_told(tmp_path: Path) -> None:
    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        best = record.resolved.options["model"]["hidden"] == 8
        return float("nan") if best and record.params["seed"] == 2 else accuracy(record, virtual_epoch)

    plan = plan_of(8, 16)
    raced = Raced(tmp_path, plan, curve=curve)
    found = confirmed_by(plan, raced.records, "max")
    assert (found.winner, [s.left_after for s in found.candidates]) == (11, [None, 2])
    loser = found.candidates[1]
    assert loser.broken == {"2": "diverged: virtual epoch 1, loss is nan"}
    assert loser.values["2"] is None
    assert "trial 10 with seed 2 diverged: virtual epoch 1, loss is nan" in found.notes


def test_a_lost_run_is_tried_again_from_its_checkpoint(tmp_path: Path) -> None:
    def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        return FailureKind.DIED if (number, virtual_epoch, attempt) == (3, 2, 0) else None

    plan = plan_of(8, 16)
    disturbed = Raced(tmp_path / "a", plan, faults=faults)
    calm = Raced(tmp_path / "b", plan)
    assert confirmed_by(plan, disturbed.records, "max") == confirmed_by(plan, calm.records, "max")


def test_more_seeds_and_other_candidates_keep_the_runs_that_there_are(tmp_path: Path) -> None:
    Raced(tmp_path, plan_of(8, 16, seeds=2))
    more = Raced(tmp_path, plan_of(8, 16, seeds=3))
    assert [record.params["seed"] for record in more.records] == [
        1,
        1,
        2,
        2,
        *([3, 3][: len(more.records) - 4]),
    ]
    other = plan_of(32, 8, seeds=2)
    raced = Raced(tmp_path, other)
    new = raced.records[len(more.records) :]
    assert [(r.resolved.options["model"]["hidden"], r.params["seed"]) for r in new] == [(32, 1), (32, 2)]
    assert confirmed_by(other, raced.records, "max").winner == 11


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
    """Away from the repository, whose modules would all be looked through for each search."""
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
    assert f"confirmed trial {best.trial}: loss {best.mean:.4g} ± {best.std:.4g} over 3 seeds" in text
    assert f"to export: seed {race.seed}, the run of median value" in text
    rivals = [str(each.trial) for each in race.candidates[1:] if each.left_after is None]
    note = f"the test does not tell trial {best.trial} from {', '.join(rivals)}; more seeds may"
    assert (note in text) == bool(rivals)
    tied = replace(race, candidates=[replace(each, left_after=None) for each in race.candidates])
    assert f"does not tell trial {best.trial} from " in "\n".join(confirmed_lines(tied, "loss"))


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
