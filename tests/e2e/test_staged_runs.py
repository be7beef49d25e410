"""Searches in stages on a real Ray: what each fixes, what is kept, and that faults change nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import Watching, held, interrupted_at, sections_with
from in_process import resume_locally, search_locally
from invariants import assert_nothing_lost, assert_same_search, left_over
from patience import PATIENCE
from programs import (
    WINDING_DOWN,
    Process,
    ended,
    no_process_left,
    printed_command,
    wait_for_line,
    write_config,
)
from tiny_tasks import search_config

import search
from search.config.document import read_document
from search.errors import ConfigError
from search.screen.texts.export import export_text
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.study import JOURNAL
from trainables.checkpoints.checkpoint import list_checkpoints

FIRST, SECOND = "1-rate", "2-batch"


def staged_config(**sections: Any) -> dict[str, Any]:
    stages = [
        {
            "name": "rate",
            "trial": {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}}},
            "budget": {"trials": 4},
        },
        {"name": "batch", "trial": {"batch_size": {"choice": [8, 16, 64]}}, "budget": {"trials": 3}},
    ]
    given: dict[str, Any] = {
        "trial": {"model": {"hidden": 8}},
        "budget": {"max_virtual_epochs": 3},
        "checkpoint": {"keep_trials": 2},
        "stages": stages,
    }
    return search_config(**{**given, **sections})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of a search in two stages, and what was shown; look at it, change nothing."""
    watching = Watching()
    summary = search_locally(staged_config(), results=tmp_path_factory.mktemp("staged"), reporter=watching)
    return summary, watching.lines


def records_of(folder: str | Path, stage: str) -> Any:
    return read_records(Path(folder) / "stages" / stage / JOURNAL)


def test_the_second_stage_begins_with_the_best_of_the_first_and_searches_its_own_alone(run: Any) -> None:
    summary, lines = run
    first, second = records_of(summary.folder, FIRST), records_of(summary.folder, SECOND)
    best = first[summary.stages[0].best.trial].resolved
    assert [list(record.resolved.params) for record in second] == [["batch_size"]] * 3
    assert all(
        r.resolved.options == {**best.options, "batch_size": r.resolved.params["batch_size"]} for r in second
    )
    # It was trained with the default of the task's options, which stands nowhere.
    assert second[0].known == second[0].resolved.params == {"batch_size": 16}
    assert "stage 1 of 2 (rate)" in lines
    begun = f"stage 2 of 2 (batch) continues with the values of {FIRST} trial {summary.stages[0].best.trial}"
    assert any(line.startswith(begun) for line in lines)


def test_the_summary_tells_of_every_stage_and_its_best_is_the_last_ones(run: Any) -> None:
    summary, _ = run
    assert summary.of == 2
    assert (summary.status, summary.reason, summary.trials) == ("complete", "all 2 stages are done", 7)
    assert [stage.name for stage in summary.stages] == [FIRST, SECOND]
    assert summary.best == summary.stages[1].best
    assert summary.best.checkpoint.startswith(f"stages/{SECOND}/trials/")
    assert (Path(summary.folder) / summary.best.checkpoint / "manifest.json").is_file()
    assert json.loads((Path(summary.folder) / "summary.json").read_text()) == summary.as_dict()
    text = summary_text(summary)
    for stage in summary.stages:
        assert f"stage {stage.name}" in text
        assert f"trial {stage.best.trial}, accuracy {stage.best.value:.4g}" in text
    assert f"tune-search export {summary.folder}" in text


def test_each_stage_is_a_whole_run_of_its_own(run: Any) -> None:
    summary, _ = run
    for stage in (FIRST, SECOND):
        assert_nothing_lost(Path(summary.folder) / "stages" / stage)
    assert left_over(Path(summary.folder)) == []
    assert sorted(path.name for path in Path(summary.folder).iterdir()) == [
        "config.yaml",
        "data.fingerprint",
        "provenance.json",
        "stages",
        "summary.json",
    ]


def test_the_last_stages_best_is_exported_and_its_retraining_is_ready(run: Any, tmp_path: Path) -> None:
    summary, _ = run
    exported = search.export(summary.folder, out=tmp_path / "export")
    assert (exported.stage, exported.trial, exported.value) == (
        SECOND,
        summary.best.trial,
        summary.best.value,
    )
    assert f"trial {exported.trial} of stage {SECOND} exported" in export_text(exported)
    done = search.retrain(tmp_path / "export", virtual_epochs=2, out=tmp_path / "retrained")
    assert done.export is not None


def test_verify_looks_at_every_stage_and_names_the_place(run: Any, tmp_path: Path) -> None:
    summary, _ = run
    found = search.verify(summary.folder)
    assert (found.trials, found.damages) == (7, [])
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", summary.folder, str(copy)], check=True)
    (copy / summary.best.checkpoint / "model.safetensors").write_bytes(b"x")
    (copy / "stages" / SECOND / "base.yaml").write_text("{")
    damaged = [damage.path for damage in search.verify(copy).damages]
    assert damaged == [f"stages/{SECOND}/base.yaml", summary.best.checkpoint]


def test_clean_frees_every_stage(run: Any, tmp_path: Path) -> None:
    summary, _ = run
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", summary.folder, str(copy)], check=True)
    (copy / ".summary.json.partial").write_text("half")
    planned = search.clean(copy, dry_run=True, keep_trials=1)
    cleaned = search.clean(copy, keep_trials=1)
    assert [item.path for item in cleaned.items] == [item.path for item in planned.items]
    assert ".summary.json.partial" in [item.path for item in cleaned.items]
    for stage, outcome in zip((FIRST, SECOND), summary.stages, strict=True):
        trials = sorted((copy / "stages" / stage / "trials").iterdir())
        kept = [int(trial.name) for trial in trials if list_checkpoints(trial)]
        assert kept == [outcome.best.trial]


def test_the_same_again_changes_nothing_and_another_space_is_refused(run: Any) -> None:
    summary, _ = run
    results = Path(summary.folder).parent
    before = {path: path.read_bytes() for path in Path(summary.folder).rglob(JOURNAL)}
    watching = Watching()
    again = search_locally(staged_config(), results=results, reporter=watching)
    assert again == summary
    assert watching.lines == ["stage 1 of 2 (rate) is done", "stage 2 of 2 (batch) is done"]
    other = staged_config()
    other["stages"][1]["trial"] = {"batch_size": {"choice": [8, 32]}}
    with pytest.raises(ConfigError, match=r"stages\.1\.trial\.batch_size\.choice"):
        search_locally(other, results=results)
    shorter = staged_config()
    shorter["stages"][1]["budget"]["max_virtual_epochs"] = 2
    with pytest.raises(ConfigError, match="cannot be shortened"):
        search_locally(shorter, results=results)
    renamed = staged_config()
    renamed["stages"][1]["name"] = "size"
    with pytest.raises(ConfigError, match=r"stages\.1\.name"):
        search_locally(renamed, results=results)
    assert {path: path.read_bytes() for path in Path(summary.folder).rglob(JOURNAL)} == before


def test_a_stage_that_grows_later_leaves_what_the_next_one_has_begun_with(run: Any, tmp_path: Path) -> None:
    summary, _ = run
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", summary.folder, str(copy)], check=True)
    begun = (copy / "stages" / SECOND / "base.yaml").read_bytes()
    grown = resume_locally(copy, overrides=["stages.0.budget.trials=6", "stages.1.budget.trials=4"])
    assert [stage.trials for stage in grown.stages] == [6, 4]
    assert (copy / "stages" / SECOND / "base.yaml").read_bytes() == begun
    fixed = read_document(copy / "stages" / SECOND / "base.yaml").tree["options"]
    assert all(r.resolved.options["optimizer"] == fixed["optimizer"] for r in records_of(copy, SECOND))


def test_a_stage_without_any_value_has_failed_and_the_next_one_does_not_begin(tmp_path: Path) -> None:
    config = staged_config()
    config["stages"][0]["trial"]["optimizer"]["lr"] = {"uniform": [1e30, 1e31]}
    summary = search_locally(config, results=tmp_path)
    assert summary.status == "failed"
    assert summary.reason.startswith(f"stage {FIRST}: no trial has a value; all ")
    assert "1 stage not started" in summary_text(summary)


def test_interrupted_in_its_first_stage_it_goes_on_there(tmp_path: Path) -> None:
    first = search_locally(staged_config(), results=tmp_path, reporter=interrupted_at(1, 1))
    assert (first.status, [stage.name for stage in first.stages]) == ("interrupted", [FIRST])
    assert "1 stage not started" in summary_text(first)
    assert f"tune-search resume {first.folder}" in summary_text(first)
    assert not (Path(first.folder) / "stages" / SECOND).exists()
    second = resume_locally(first.folder)
    assert (second.status, second.trials) == ("complete", 7)


@pytest.mark.slow
def test_killed_and_interrupted_in_its_second_stage_a_search_ends_as_if_nothing_had_been(
    tmp_path: Path, program: Callable[..., Process]
) -> None:
    hold, results = tmp_path / "hold", tmp_path / "disturbed"
    sections = sections_with(hold)
    del sections["virtual_epoch"]
    sections["trial"] = {"data": {"hold": str(hold)}, "model": {"hidden": 8}}
    config = staged_config(**sections)
    for stage in config["stages"]:
        stage["budget"] = {"trials": 2}
    command = (str(write_config(tmp_path, **config)), "--results", str(results))
    folder = results / "digits"

    first = program(*command)
    wait_for_line(first, "search digits, stage 2 of 2 (batch): 2 trials")
    wait_for_line(first, "trial 0 virtual epoch 1/3")
    with held(hold):
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate(timeout=PATIENCE)
    assert first.returncode == -signal.SIGKILL

    second = program(*command)
    shown = wait_for_line(second, "stage 2 of 2 (batch) continues with the values of")
    assert any("stage 1 of 2 (rate) is done" in line for line in shown)
    with held(hold):
        wait_for_line(second, "search digits, stage 2 of 2 (batch): 2 trials")
        os.killpg(second.pid, signal.SIGINT)
        wait_for_line(second, WINDING_DOWN)
    output = ended(second, 130)

    output = ended(program(*printed_command(output)), 0)
    assert "search complete: all 2 stages are done" in output
    calm = search_locally(config, results=tmp_path / "calm")
    for stage in calm.stages:
        best = stage.best.checkpoint.removeprefix(f"stages/{stage.name}/")
        assert_same_search(Path(calm.folder) / "stages" / stage.name, folder / "stages" / stage.name, best)
        assert_nothing_lost(folder / "stages" / stage.name)
    assert left_over(folder) == []
    no_process_left(tmp_path)
