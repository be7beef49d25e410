from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulated_search import FLAT_SPACE, Simulation, by_number, config_of

from search.commands.check import Check
from search.exports.export import Export
from search.run.disk.folder import RunFolder, write_json
from search.run.outcome.summary import Summary, join, summarize
from search.screen.texts.export import export_text
from search.screen.texts.summary import check_text, summary_text
from trainables.process.failure import FailureKind

FALLING = [0.9 - number / 100 for number in range(30)]


pytestmark = pytest.mark.usefixtures("no_fsync")


def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
    if number == 7:
        return FailureKind.GPU_MEMORY
    return FailureKind.ERROR if number == 8 and virtual_epoch == 1 else None


def curve(record: Any, virtual_epoch: int) -> float:
    return math.nan if record.number == 6 else FALLING[record.number] + (0.05 if virtual_epoch == 4 else 0.0)


def summary_of(folder: Path, **options: Any) -> Summary:
    config = config_of(sampler={"name": "random"})
    simulation = Simulation(folder, config, curve, faults=faults, **options).run()
    coordinator = simulation.coordinator
    return summarize(
        coordinator, RunFolder(folder), "accuracy", "complete", coordinator.ending or "all 9 trials are done"
    )


def test_the_best_trial_its_value_step_and_checkpoint_are_one_pair(tmp_path: Path) -> None:
    best = summary_of(tmp_path).best
    assert best is not None
    assert (best.trial, best.value, best.virtual_epoch, best.step) == (0, 0.9 + 0.05, 4, 20)
    assert best.checkpoint.startswith("trials/0000/checkpoint")
    assert "optimizer" in best.params


def test_counts_and_sums_cover_every_trial(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, pace=lambda number: 1.0)
    assert summary.counts == {"completed": 1, "stopped": 5, "diverged": 1, "out of memory": 1, "failed": 1}
    assert summary.trials == 9
    # 9 and 3 virtual epochs of 5 steps of 16, and 1 of each of the other four that reported.
    assert summary.virtual_epochs == 9 + 3 + 4
    assert summary.steps == 5 * summary.virtual_epochs
    assert summary.samples == 16 * summary.steps
    assert summary.trial_seconds == 16.0
    assert summary.steps_saved == (9 - 3) * 5 + 4 * (9 - 1) * 5
    assert summary.failures == {
        "7": "out of memory on the GPU in virtual epoch 1",
        "8": "error in virtual epoch 1",
    }


def test_the_summary_survives_a_restart_and_json(tmp_path: Path) -> None:
    first = summary_of(tmp_path)
    again = summary_of(tmp_path)
    assert replace(again, seconds=first.seconds) == first
    write_json(tmp_path / "summary.json", first.as_dict())
    assert json.loads((tmp_path / "summary.json").read_text()) == first.as_dict()


def test_summaries_of_named_stages_are_joined(tmp_path: Path) -> None:
    folders = [tmp_path / "stages" / name for name in ("1-rate", "2-batch")]
    for folder in folders:
        folder.mkdir(parents=True)
    first, second = map(summary_of, folders)
    whole = join([first, replace(second, status="interrupted", reason="Ctrl-C", best=None)], tmp_path, 3)
    assert (whole.status, whole.reason, whole.trials, whole.of) == (
        "interrupted",
        "stage 2-batch: Ctrl-C",
        18,
        3,
    )
    assert [(stage.name, stage.status) for stage in whole.stages] == [
        ("1-rate", "complete"),
        ("2-batch", "interrupted"),
    ]
    assert first.best is not None
    assert whole.best == replace(first.best, checkpoint=f"stages/1-rate/{first.best.checkpoint}")
    assert whole.failures.keys() == {f"{name}/{n}" for name in ("1-rate", "2-batch") for n in first.failures}
    assert {"stages", "of"} == whole.as_dict().keys() - first.as_dict().keys()


def test_a_search_without_a_value_has_no_best(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 2, "max_virtual_epochs": 2})
    coordinator = Simulation(tmp_path, config, lambda record, _: math.nan).run().coordinator
    summary = summarize(coordinator, RunFolder(tmp_path), "accuracy", "failed", "x")
    assert summary.best is None
    assert summary.counts == {"diverged": 2}
    text = summary_text(summary)
    assert "no trial has a value" in text
    assert "export" not in text


def test_an_unfinished_search_counts_what_goes_on(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    coordinator = Simulation(tmp_path, config, by_number(FALLING)).run(max_reports=4).coordinator
    summary = summarize(coordinator, RunFolder(tmp_path), "accuracy", "interrupted", "Ctrl-C")
    assert set(summary.counts) == {"unfinished"}
    assert summary.steps_saved == 0
    assert f"  tune-search resume {tmp_path}" in summary_text(summary).splitlines()


def test_the_last_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    summary = replace(summary_of(tmp_path / "seg"), seconds=200.0, samples=1280)
    assert summary.best is not None
    summary = replace(
        summary, best=replace(summary.best, params={"model.hidden": 16, "optimizer.lr": 0.00123456})
    )
    assert summary_text(summary).splitlines() == [
        "search complete: all 9 trials are done",
        "",
        "best trial 0: accuracy 0.95 at virtual epoch 4, step 20 (0.925 on average over 2 virtual epochs)",
        "  model.hidden = 16",
        "  optimizer.lr = 0.00123",
        "",
        "trials            9: 1 completed, 1 diverged, 1 failed, 1 out of memory, 5 stopped",
        "steps             80 spent, 190 saved by early stopping (70%)",
        "samples           1,280",
        "time              3 min 20 s; all trials together trained for 16 s",
        "",
        "failed trials (traceback in error.txt in the trial's folder):",
        "  7  out of memory on the GPU in virtual epoch 1",
        "  8  error in virtual epoch 1",
        "",
        "next",
        "  tensorboard --logdir seg",
        "  tune-search export seg",
        "  tune-search retrain seg/export",
        "",
        "once the cause is fixed, try the failed trials again with",
        "  tune-search resume seg --retry-failed",
    ]
    assert summary_text(summary, color=True).splitlines()[2].startswith("\x1b[1mbest trial 0")


def test_a_cause_of_several_lines_is_one_line(tmp_path: Path) -> None:
    summary = replace(summary_of(tmp_path), failures={"3": "ValueError: a\n  b\x1b[31m"})
    assert "  3  ValueError: a b [31m" in summary_text(summary).splitlines()


def test_why_no_trial_has_a_value_is_said_once(tmp_path: Path) -> None:
    cause = "ValueError: " + "a long text " * 20
    failed = replace(summary_of(tmp_path), best=None, status="failed", failures={"1": cause})
    for reason, first in (
        ("no trial has a value; all 2 trials are done",) * 2,
        (f"5 trials in a row failed alike: {cause}", "5 trials in a row failed alike"),
    ):
        text = summary_text(replace(failed, reason=reason))
        assert text.splitlines()[0] == f"search failed: {first}"
        assert text.count("no trial has a value") == 1
        assert text.count(cause.strip()) == 1


def test_the_screen_of_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "seg" / "export"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 12_345)
    (folder / "config.yaml").write_bytes(b"x")
    assert export_text(Export(folder, 7, "miou", 0.87654321, {})).splitlines() == [
        "trial 7 exported to seg/export",
        "  config.yaml                     1 bytes",
        "  model.safetensors          12,345 bytes",
        "re-evaluated from these files: miou 0.8765, as recorded",
        "",
        "next",
        "  tune-search retrain seg/export",
    ]


def a_check() -> Check:
    config = config_of(
        {**FLAT_SPACE, "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}}},
        virtual_epoch={"samples": 1600},
        scheduler={"axis": "samples", "grace_period": 1600},
    )
    return Check(
        config=config,
        named_by_file=False,
        params={},
        num_parameters=12_345,
        model="mlp, [8, 64] -> [8, 10]",
        batch="16 samples a step (8 x 2)",
        epochs_per_virtual_epoch=4 / 3,
        num_train=1200,
        num_valid=597,
        seconds_per_step=0.01,
        seconds_per_validation=0.5,
        metrics={"accuracy": 0.125, "loss": 2.25, "iou/7": 0.5},
        rungs="1600, 4800",
        steps_per_virtual_epoch=100,
        expected_virtual_epochs=21,
        expected_seconds=16,
        concurrency=2,
        device="cpu",
        task_file="/home/jane/tiny_tasks.py",
        checkpoint_bytes=150_000,
        space_needed=4_500_000,
        largest_batch=None,
    )


def test_the_plan_tells_of_priors_and_of_audited_trials() -> None:
    lr = {"loguniform": [1e-4, 1e-1], "prior": 1e-3, "confidence": "high"}
    space = {**FLAT_SPACE, "optimizer": {"name": "adamw", "lr": lr}}
    lines = check_text(replace(a_check(), config=config_of(space, scheduler={"audit": 5}))).splitlines()
    assert "  optimizer.lr: loguniform 0.0001 .. 0.1, prior 0.001 (high confidence)" in lines
    assert any(line.endswith("virtual epochs, 5 trials let through to full length") for line in lines)


def test_the_screen_of_a_check() -> None:
    check = a_check()
    assert "\n\nnote: a doubt\n\nok" in check_text(replace(check, doubts=("a doubt",)))
    diverged = replace(check, metrics={"accuracy": float("nan")})
    assert "  accuracy is nan: a trial whose objective is not finite after a" in check_text(diverged)
    assert "  val/loss 0.5  val/acc 0.25" in check_text(
        replace(check, metrics={"val/loss": 0.5, "val/acc": 0.25})
    )
    named = replace(check, named_by_file=True)
    assert check_text(named).splitlines()[0] == "name              digits, after the file"
    assert check_text(check).splitlines() == [
        "name              digits",
        "task              tiny_tasks:DigitsTask in /home/jane/tiny_tasks.py",
        "objective         accuracy, max: higher is better",
        "training data     1200 samples",
        "validation data   597 samples",
        "model             mlp, [8, 64] -> [8, 10], 12,345 parameters (of the trial that was run)",
        "batch             16 samples a step (8 x 2)",
        "device            cpu",
        "step              10.0 ms, validation 500 ms",
        "checkpoint        150.0 kB, up to 4.5 MB for the whole search",
        "virtual epoch     1600 samples, 100 steps, 1.33 passes over the training data",
        "trials            9, up to 9 virtual epochs each, 2 at a time",
        "sampler           tpe, seed 0",
        "scheduler         asha, rungs at 1600, 4800 samples",
        "work              about 21 virtual epochs, about 16 s at this trial's speed",
        "",
        "space",
        "  model.hidden: choice 8, 16, 32",
        "  optimizer.lr: loguniform 0.0001 .. 0.1",
        "",
        "metrics after these few steps",
        "  accuracy 0.125  loss 2.25",
        "",
        "ok",
    ]
