"""The configurations that come with the program hold what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import ROOT

import search
from search.run.search import search as run_search


@pytest.mark.slow
def test_seg_finds_a_good_model_within_four_minutes_and_ends_most_trials_early(
    ray_session: None, tmp_path: Path
) -> None:
    summary = run_search(ROOT / "configs" / "seg.yaml", results=tmp_path)
    assert summary.best is not None
    assert summary.best.value >= 0.88
    assert summary.best_fully_trained is True
    assert summary.trials >= 16
    assert summary.counts["stopped"] > summary.trials / 2
    assert summary.seconds < 240


SMALL = ["trial.data.num_train=64", "trial.data.num_valid=8", "trial.data.size=24"]


def test_seg_pauses_trials_and_promotes_the_best(ray_session: None, tmp_path: Path) -> None:
    # One at a time: of two at once, the better of those that have reported may go on before the third has.
    one = ["budget.trials=3", "resources.concurrent_trials=1"]
    short = [*SMALL, *one, "budget.max_virtual_epochs=2", "virtual_epoch.steps=2"]
    summary = run_search(ROOT / "configs" / "seg.yaml", overrides=short, results=tmp_path)
    assert summary.counts == {"completed": 1, "stopped": 2}
    assert summary.steps == 8


def test_stages_fixes_the_optimizer_and_searches_the_batch_size(ray_session: None, tmp_path: Path) -> None:
    short = [
        *SMALL,
        "budget.max_virtual_epochs=1",
        "virtual_epoch.samples=32",
        "stages.0.budget.trials=2",
        "stages.1.trial.batch_size={choice: [8, 16]}",
    ]
    summary = run_search(ROOT / "configs" / "stages.yaml", overrides=short, results=tmp_path)
    assert [stage.name for stage in summary.stages] == ["1-optimizer", "2-batch_size"]
    assert summary.best is not None
    assert set(summary.best.params) == {"batch_size"}


def test_seg_transformer_searches_layer_wise_learning_rates(ray_session: None, tmp_path: Path) -> None:
    short = [
        "budget.trials=2",
        "budget.max_virtual_epochs=1",
        "scheduler.grace_period=1",
        "virtual_epoch.steps=2",
        "trial.data.num_train=32",
        "trial.data.num_valid=8",
        "trial.data.size=32",
        "trial.batch_size=4",
    ]
    path = ROOT / "configs" / "seg_transformer.yaml"
    summary = run_search(path, overrides=short, results=tmp_path)
    assert summary.counts == {"completed": 2}
    assert summary.best is not None
    assert summary.best.params["optimizer.layer_decay"] in (0.65, 0.8, 1.0)


def test_batch_size_compares_mini_batches_with_one_big_batch(ray_session: None, tmp_path: Path) -> None:
    short = ["budget.max_virtual_epochs=3", "trial.batch_size={choice: [50, full]}", "budget.trials=2"]
    path = ROOT / "configs" / "batch_size.yaml"
    summary = run_search(path, overrides=short, results=tmp_path)
    assert summary.counts == {"completed": 2}
    study = search.study_batch_sizes(summary.folder)
    assert study.num_train == 350
    assert [curve.steps for curve in study.curves] == [(7, 14, 21), (1, 2, 3)]
    assert study.noise.num_samples == 350


def test_gan_searches_the_options_of_both_players(ray_session: None, tmp_path: Path) -> None:
    short = [
        "budget.trials=2",
        "budget.max_virtual_epochs=1",
        "virtual_epoch.steps=2",
        "trial.evaluation.num_samples=100",
    ]
    summary = run_search(ROOT / "configs" / "gan.yaml", overrides=short, results=tmp_path)
    assert summary.counts == {"completed": 2}
    assert summary.best is not None
    assert {"optimizer.lr", "discriminator_optimizer.lr", "discriminator_steps"} <= set(summary.best.params)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_gan_brings_its_digits_near_to_held_out_ones(ray_session: None, tmp_path: Path) -> None:
    summary = run_search(ROOT / "configs" / "gan.yaml", results=tmp_path)
    assert summary.best is not None
    assert summary.best.value < 20.0
    assert summary.counts["stopped"] > summary.trials / 2


@pytest.mark.parametrize(("name", "metric"), [("classification", "accuracy"), ("regression", "rmse")])
def test_classification_and_regression_search_and_end_trials_early(
    ray_session: None, tmp_path: Path, name: str, metric: str
) -> None:
    short = ["budget.trials=3", "budget.max_virtual_epochs=3", "virtual_epoch={steps: 3}"]
    summary = run_search(ROOT / "configs" / f"{name}.yaml", overrides=short, results=tmp_path)
    assert summary.counts["stopped"] >= 1
    assert summary.counts["completed"] >= 1
    assert summary.best is not None
    assert search.export(summary.folder).metrics[metric] == summary.best.value


@pytest.mark.slow
def test_stages_finds_that_with_the_same_samples_smaller_batches_come_further(
    ray_session: None, tmp_path: Path
) -> None:
    overrides = ["stages.0.budget.trials=3", "stages.1.trial.batch_size={choice: [4, 32]}"]
    summary = run_search(ROOT / "configs" / "stages.yaml", overrides=overrides, results=tmp_path)
    assert [stage.name for stage in summary.stages] == ["1-optimizer", "2-batch_size"]
    assert summary.best.params == {"batch_size": 4}
    assert summary.best.value > summary.stages[0].best.value
