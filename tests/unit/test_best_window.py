"""The best trial and its best checkpoint are chosen by the mean over a window of reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from optuna.samplers import RandomSampler
from records import STEPS_OF_5, trial
from small_trials import digits_plan, run
from tiny_tasks import search_config

from search.commands.verify import verify
from search.config.config import Config
from search.config.objectives import window_of
from search.config.stages import load_config
from search.errors import ConfigError
from search.exports.export import export
from search.run.disk.folder import RunFolder
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.study import JOURNAL, SearchStudy
from search.study.trial import Outcome, TrialRecord, best_record, ranked
from search.text import number_text
from trainables.best_window import best_virtual_epoch, window_means
from trainables.checkpoints.checkpoint import list_checkpoints

LUCKY = (0.1, 0.9, 0.3, 0.4, 0.5)
STEADY = (0.2, 0.5, 0.6, 0.7, 0.6)


@pytest.mark.parametrize(
    ("values", "mode", "window", "best"),
    [
        (LUCKY, "max", 1, 2),
        (LUCKY, "max", 2, 3),
        (LUCKY, "max", 3, 4),
        (LUCKY, "max", 5, 5),
        (LUCKY, "max", 6, 2),
        (LUCKY, "min", 1, 1),
        (LUCKY, "min", 2, 4),
        ((0.5, 0.5, 0.5), "max", 2, 2),
        ((0.5,), "max", 2, 1),
        ((), "max", 2, 0),
    ],
)
def test_the_best_virtual_epoch_ends_the_best_window(
    values: tuple[float, ...], mode: Any, window: int, best: int
) -> None:
    assert best_virtual_epoch(values, mode, window) == best


def test_a_mean_does_not_depend_on_what_came_before() -> None:
    values = [1e16, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3]
    means = window_means(values, 3)
    assert means[1] == means[4]


def a_trial(number: int, *values: float, **fields: Any) -> TrialRecord:
    return trial(number, *values, window=3, **fields)


def test_a_steady_trial_is_better_than_a_lucky_one() -> None:
    lucky, steady = a_trial(0, *LUCKY), a_trial(1, *STEADY)
    assert ranked([lucky, steady], "max") == [steady, lucky]
    assert best_record([lucky, steady], "max") is steady
    assert (steady.best_virtual_epoch("max"), steady.value("max"), steady.best("max")) == (5, 0.6, 0.7)
    assert steady.mean("max") == pytest.approx(1.9 / 3)


def test_rungs_compare_single_reports() -> None:
    assert a_trial(0, *LUCKY).best("max", 3) == 0.9


def test_trials_with_fewer_reports_come_after_those_with_a_window_unless_they_have_come_to_their_end() -> (
    None
):
    short, other = a_trial(0, 0.9, 0.95), a_trial(1, 0.99)
    steady, ended = a_trial(2, *STEADY), a_trial(3, 0.8, 0.9, outcome=Outcome.COMPLETED)
    assert ranked([short, other, steady, ended], "max") == [ended, steady, other, short]
    assert best_record([short, other], "max") is other


@pytest.mark.parametrize(
    ("length", "window"), [(1, 1), (3, 1), (7, 1), (8, 2), (27, 5), (50, 10), (1000, 10)]
)
def test_a_window_is_a_fifth_of_a_full_training(length: int, window: int) -> None:
    assert window_of(a_config(budget={"trials": 2, "max_virtual_epochs": length})) == window


def a_config(**sections: Any) -> Config:
    return load_config(search_config(**sections)).first


def test_a_window_that_is_given_counts_up_to_what_a_trial_reports() -> None:
    objective = {"metric": "accuracy", "mode": "max", "window": 8}
    assert window_of(a_config(objective=objective)) == 8
    assert window_of(a_config(objective=objective, budget={"trials": 2, "max_virtual_epochs": 3})) == 3
    assert window_of(a_config(objective=objective, plateau={"patience": 2})) == 3


def test_a_trial_that_its_plateau_ended_is_compared_with_all_others() -> None:
    long = {"budget": {"trials": 2, "max_virtual_epochs": 50}}
    assert window_of(a_config(**long)) == 10
    assert window_of(a_config(**long, plateau={"patience": 2})) == 3


def a_study(folder: Path, window: int) -> SearchStudy:
    return SearchStudy(
        folder / JOURNAL,
        name="x",
        mode="max",
        space=a_config().space,
        sampler=lambda study: RandomSampler(seed=0),
        window=window,
    )


def test_a_killed_process_leaves_no_study_without_its_window(tmp_path: Path) -> None:
    a_study(tmp_path, 1)  # nothing else, as of one that was killed after the study's first entries
    begun = a_study(tmp_path, 3)
    assert begun.ask().window == 3
    again = a_study(tmp_path, 5)
    assert {record.window for record in again.records} == {again.window} == {3}


def test_optuna_ranks_complete_trials_as_the_search_does(tmp_path: Path) -> None:
    study = a_study(tmp_path, 3)
    for values in ((0.99, 0.1), (0.4, 0.5, 0.7)):
        record = study.ask()
        for value in values:
            study.report(record, value, STEPS_OF_5, 1.0)
        study.finish(record, Outcome.COMPLETED, "done")
    assert study.study.best_trial.number == ranked(study.records, "max")[0].number == 0
    assert study.study.best_value == pytest.approx((0.99 + 0.1) / 2)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"objective": {"metric": "accuracy", "mode": "max", "window": 0}}, "window"),
        (
            {
                "objective": {"metric": "accuracy", "mode": "max", "window": 2},
                "scheduler": {"name": "pbt"},
                "sampler": {"name": "random"},
            },
            "may be of two trials' weights",
        ),
        (
            {
                "objective": None,
                "objectives": [
                    {"metric": "accuracy", "mode": "max", "window": 2},
                    {"metric": "latency", "mode": "min"},
                ],
            },
            "the front is of single virtual epochs",
        ),
    ],
)
def test_a_window_that_cannot_be_is_refused_with_the_rule(sections: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        a_config(**sections)


def test_the_checkpoint_of_the_best_window_is_kept_of_all(tmp_path: Path) -> None:
    session = run(digits_plan(tmp_path / "windows", num_virtual_epochs=9, window=3))
    values = [record[session.plan.metric] for record in session.history]
    best = best_virtual_epoch(values, session.plan.mode, 3)
    assert session.best is session.history[best - 1]
    assert best in list_checkpoints(tmp_path / "windows")


@pytest.mark.usefixtures("no_fsync", "small_machine")
def test_a_search_shows_exports_and_verifies_the_end_of_the_best_window(tmp_path: Path) -> None:
    objective = {"metric": "accuracy", "mode": "max", "window": 3}
    summary = search_locally(search_config(objective=objective), results=tmp_path)
    folder = RunFolder(Path(summary.folder))
    records = read_records(folder.journal)
    best = ranked(records, "max")[0]
    assert {record.window for record in records} == {3}
    assert summary.best is not None
    assert summary.best.trial == best.number
    assert (summary.best.virtual_epoch, summary.best.value) == (
        best.best_virtual_epoch("max"),
        best.value("max"),
    )
    assert (summary.best.mean, summary.best.window) == (best.mean("max"), 3)
    mean = f"({number_text(best.mean('max'))} on average over 3 virtual epochs)"
    assert mean in summary_text(summary)
    assert list(verify(folder.path).damages) == []
    done = export(folder.path)
    assert done.value == pytest.approx(best.value("max"))
    metrics = json.loads((done.folder / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["objective"]["window"] == 3


@pytest.mark.usefixtures("no_fsync", "small_machine")
def test_a_run_keeps_the_window_that_it_began_with(tmp_path: Path) -> None:
    config = search_config(budget={"trials": 2, "max_virtual_epochs": 5})
    folder = RunFolder(Path(search_locally(config, results=tmp_path).folder))
    resume_locally(folder.path, overrides=["budget={trials: 4, max_virtual_epochs: 10}"])
    assert {record.window for record in read_records(folder.journal)} == {1}
