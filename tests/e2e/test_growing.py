"""A run that grows: more trials, longer ones, another space for new ones; one that learns from another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from in_process import resume_locally, search_locally
from recorder import Recorder
from safetensors.torch import load_file
from tiny_tasks import search_config

import search
from search.errors import ConfigError, SearchError
from search.run.events import EventKind
from search.run.outcome.summary import Summary
from search.study.reading import read_records
from search.study.trial import TrialRecord

ALONE = {"cpus_per_trial": 1, "concurrent_trials": 1}
EVERY = {"scheduler": {"name": "none"}, "resources": ALONE, "checkpoint": {"keep_trials": 9}}


def records(run: str) -> list[TrialRecord]:
    return read_records(Path(run) / "study.journal")


def test_longer_trials_go_on_from_where_they_were_as_if_they_had_been_longer_from_the_start(
    tmp_path: Path,
) -> None:
    short = search_config(**EVERY, budget={"trials": 2, "max_virtual_epochs": 3})
    long = search_config(**EVERY, budget={"trials": 2, "max_virtual_epochs": 5})
    for config in (short, long):
        config["trial"]["lr_schedule"] = {"name": "constant"}
    run = search_locally(short, results=tmp_path / "grown").folder
    recorder = Recorder()
    grown = resume_locally(run, overrides=["budget.max_virtual_epochs=5"], reporter=recorder)
    whole = search_locally(long, results=tmp_path / "whole")
    assert [depth for number in (0, 1) for depth, _ in recorder.reports[number]] == [4, 5, 4, 5]
    assert [r.values for r in records(run)] == [r.values for r in records(whole.folder)]
    assert grown.best == whole.best
    assert grown.best is not None
    weights = [load_file(Path(s.folder) / s.best.checkpoint / "model.safetensors") for s in (grown, whole)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_a_search_with_more_trials_promotes_those_that_were_paused_at_its_end(tmp_path: Path) -> None:
    config = search_config(
        resources=ALONE, budget={"trials": 4, "max_virtual_epochs": 9}, checkpoint={"keep_trials": 4}
    )
    run = search_locally(config, results=tmp_path).folder
    before = records(run)
    recorder = Recorder()
    resume_locally(run, overrides=["budget.trials=12"], reporter=recorder)
    promoted = [e.record.number for e in recorder.events if e.kind is EventKind.PROMOTED]
    after = records(run)
    assert len(after) == 12
    assert any(number < 4 for number in promoted)
    for old, new in zip(before, after, strict=False):
        assert new.resolved.params == old.resolved.params
        assert new.values[: old.depth] == old.values


def test_new_trials_come_from_another_space_and_earlier_ones_stay_what_they_are(tmp_path: Path) -> None:
    run = search_locally(
        search_config(budget={"trials": 3, "max_virtual_epochs": 1}, resources=ALONE), results=tmp_path
    ).folder
    before = [r.resolved.options for r in records(run)]
    space = ["trial.model.hidden={choice: [64, 128]}", "trial.batch_size={choice: [16, 32]}"]
    resume_locally(run, overrides=["budget.trials=6", *space])
    after = records(run)
    assert [r.resolved.options for r in after[:3]] == before
    assert all(r.resolved.options["model"]["hidden"] in (64, 128) for r in after[3:])
    # The same again has nothing to do, and exports whichever is best.
    assert resume_locally(run).trials == 6
    assert search.export(run, out=tmp_path / "out").value == max(max(r.values) for r in after)


@pytest.mark.parametrize(
    "change",
    [
        "objective={metric: valid_loss, mode: min}",
        "virtual_epoch.steps=6",
        "trial.data={rows: 100}",
        "task=tiny_tasks:FailingTask",
    ],
)
def test_what_makes_values_incomparable_is_refused_with_the_difference(
    finished_run: Summary, change: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resume_locally(finished_run.folder, overrides=[change])
    assert "when this search began and is" in str(caught.value)


def refusal(run: str, *overrides: str) -> str:
    """The line with which a run refuses to continue; its configuration stays."""
    before = (Path(run) / "config.yaml").read_bytes()
    with pytest.raises(ConfigError) as caught:
        resume_locally(run, overrides=overrides)
    assert (Path(run) / "config.yaml").read_bytes() == before
    (line,) = str(caught.value).splitlines()
    return line.removeprefix(f"{run}: ")


def test_a_limit_below_what_has_happened_is_refused_with_what_adds_more(finished_run: Summary) -> None:
    run, trials, steps = finished_run.folder, finished_run.trials, finished_run.steps
    assert refusal(run, "budget.trials=1") == (
        f"budget.trials: received 1; must be at least {trials}, the number of trials so far, as it is their "
        f"total; {trials + 1} adds 1 more, {trials} finishes those that are there"
    )
    assert refusal(run, f"budget.steps={steps}") == (
        f"budget.steps: received {steps}; must be above {steps}, the optimizer steps of all trials so far; "
        f"{2 * steps} allows {steps} more"
    )
    assert re.fullmatch(
        r"budget.time: received 0 s; must be longer than \d+ s, the time of the search so far; "
        r"1m allows 0 s more",
        refusal(run, "budget.time=0.01s"),
    )


def test_a_limit_that_was_reached_is_no_error_the_next_time(tmp_path: Path) -> None:
    config = search_config(budget={"trials": 9, "max_virtual_epochs": 1, "steps": 9}, resources=ALONE)
    first = search_locally(config, results=tmp_path)
    again = search_locally(config, results=tmp_path)
    reason = "step limit; the best trial is fully trained"
    assert (again.status, again.reason) == (first.status, first.reason) == ("complete", reason)
    assert again.steps == first.steps
    more = resume_locally(first.folder, overrides=["budget.steps=30"])
    assert more.steps > first.steps


def test_a_stage_says_what_it_has_done_where_its_limit_is_lowered(tmp_path: Path) -> None:
    stages = [{"name": name, "budget": {"trials": 2}} for name in ("first", "second")]
    config = search_config(budget={"max_virtual_epochs": 1}, resources=ALONE, stages=stages)
    run = search_locally(config, results=tmp_path).folder
    line = refusal(run, "stages.1.budget.trials=1")
    assert line.startswith(f"{run}/stages/2-second: budget.trials: received 1; must be at least 2")
    assert resume_locally(run, overrides=["stages.1.budget.trials=3"]).trials == 5


def test_a_new_run_learns_from_an_older_one_and_needs_it_no_more(tmp_path: Path) -> None:
    older = search_locally(
        search_config(budget={"trials": 12, "max_virtual_epochs": 1}), results=tmp_path, name="older"
    )
    config = search_config(budget={"trials": 2, "max_virtual_epochs": 1}, resources=ALONE)
    alone = search_locally(config, results=tmp_path, name="alone")
    taught = search_locally(config, results=tmp_path, name="taught", from_run=older.folder)
    again = search_locally(config, results=tmp_path, name="again", from_run=older.folder)
    params = [[r.resolved.params for r in records(s.folder)] for s in (alone, taught, again)]
    assert params[1] == params[2] != params[0]
    Path(older.folder).rename(tmp_path / "gone")
    assert resume_locally(taught.folder, overrides=["budget.trials=3"]).trials == 3
    with pytest.raises(SearchError, match="begun without the trials"):
        search_locally(config, results=tmp_path, name="alone", from_run=tmp_path / "gone")
    other = config | {"virtual_epoch": {"steps": 6}}
    with pytest.raises(ConfigError, match="they must agree"):
        search_locally(other, results=tmp_path, name="other", from_run=tmp_path / "gone")


def test_known_points_that_are_added_come_next(tmp_path: Path) -> None:
    config = search_config(budget={"trials": 2, "max_virtual_epochs": 1}, resources=ALONE)
    run = search_locally(config, results=tmp_path).folder
    resume_locally(
        run, overrides=["budget.trials=4", "sampler.points_to_evaluate=[{optimizer: {lr: 0.0123}}]"]
    )
    rates = [r.resolved.params["optimizer.lr"] for r in records(run)]
    assert rates.index(0.0123) == 2
    assert rates.count(0.0123) == 1


def test_only_the_best_trials_and_those_that_may_go_on_keep_checkpoints(tmp_path: Path) -> None:
    config = search_config(
        budget={"trials": 12, "max_virtual_epochs": 3}, checkpoint={"keep_trials": 2, "keep": 1}
    )
    summary = search_locally(config, results=tmp_path)
    holding = sorted(
        int(p.name) for p in Path(summary.folder).glob("trials/*") if list(p.glob("checkpoint_*"))
    )
    best = sorted(records(summary.folder), key=lambda r: (-r.best("max"), r.number))[:2]
    assert holding == sorted(r.number for r in best)
