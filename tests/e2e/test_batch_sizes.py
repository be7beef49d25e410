"""The comparison of batch sizes: figures, numbers against plain computations, and errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from in_process import search_locally
from patience import PATIENCE
from PIL import Image
from safetensors.numpy import load_file
from sklearn.datasets import load_digits
from tiny_tasks import search_config

from search.cli.main import cli
from search.commands.batch_analysis import (
    NUM_ORDERS,
    Curve,
    Reached,
    batch_losses,
    batch_noise,
    sample_losses,
)
from search.commands.batch_sizes import BatchSizes, study_batch_sizes
from search.errors import SearchError
from trainables.build import build_trainer
from trainables.checkpoints.checkpoint import checkpoint_folder, list_checkpoints, read_checkpoint
from trainables.segmentation import SegmentationOptions, SegmentationTask

SIZES = (16, 100, 1200)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> BatchSizes:
    """Of a search over three batch sizes, 1200 being all training samples."""
    config = search_config(
        objective={"metric": "train_loss", "mode": "min"},
        trial={
            "model": {"hidden": 8},
            "optimizer": {"name": "adam", "lr": 0.01},
            "batch_size": {"choice": list(SIZES)},
        },
        virtual_epoch={"epochs": 1},
        budget={"trials": 3, "max_virtual_epochs": 5},
        sampler={"name": "grid"},
        scheduler={"name": "none"},
    )
    summary = search_locally(config, results=tmp_path_factory.mktemp("results"))
    return study_batch_sizes(summary.folder)


def copy_of(study: BatchSizes, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study.folder, tmp_path / "copy"))


def losses_of_histories(study: BatchSizes) -> dict[int, list[float]]:
    found = {}
    for trial in range(3):
        folder = Path(study.folder) / "trials" / f"{trial:04d}"
        info = read_checkpoint(folder, list_checkpoints(folder)[-1]).info
        found[info["options"]["batch_size"]] = [record["train_loss"] for record in info["history"]]
    return found


def test_numbers_and_figures_are_written_into_the_run(study: BatchSizes) -> None:
    folder = Path(study.folder)
    for name in study.files[:-1]:
        with Image.open(folder / name) as image:
            assert image.format == "PNG"
            colors = image.convert("RGB").getcolors(1 << 20)
            assert colors is not None
            assert len(colors) > 20, name
    assert json.loads((folder / "batch_sizes.json").read_text()) == json.loads(json.dumps(study.as_dict()))
    assert not list(folder.glob(".*.partial"))


def test_curves_are_the_histories_of_the_trials(study: BatchSizes) -> None:
    histories = losses_of_histories(study)
    assert [curve.batch_size for curve in study.curves] == list(SIZES)
    for curve in study.curves:
        assert list(curve.losses) == histories[curve.batch_size]
        assert curve.epochs == (1, 2, 3, 4, 5)
        assert curve.steps == tuple(n * (1200 // curve.batch_size) for n in range(1, 6))


def test_epochs_and_steps_to_the_loss_of_the_big_batch_follow_from_the_histories(study: BatchSizes) -> None:
    histories = losses_of_histories(study)
    target = histories[1200][-1]
    assert study.target == target
    for curve, here in zip(study.curves, study.reached, strict=True):
        below = [number for number, loss in enumerate(histories[curve.batch_size], 1) if loss <= target]
        assert here is not None
        assert (here.virtual_epoch, here.epochs) == (below[0], below[0])
        assert here.steps == below[0] * (1200 // curve.batch_size)


def digits_losses(study: BatchSizes) -> np.ndarray:
    """The cross-entropy of each training digit, computed with numpy from the checkpoint's weights."""
    noise = study.noise
    trial = Path(study.folder) / "trials" / f"{noise.trial:04d}"
    weights = load_file(checkpoint_folder(trial, noise.virtual_epoch) / "model.safetensors")
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    digits = load_digits()
    hidden = digits.data[:1200] / 16 @ weights["0.weight"].T + weights["0.bias"]
    normalized = (hidden - weights["1.running_mean"]) / np.sqrt(weights["1.running_var"] + 1e-5)
    active = np.maximum(normalized * weights["1.weight"] + weights["1.bias"], 0)
    logits = active @ weights["4.weight"].T + weights["4.bias"]
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(1200), digits.target[:1200]]


def test_the_spread_of_the_loss_is_what_numpy_computes_from_the_weights(study: BatchSizes) -> None:
    losses, noise = digits_losses(study), study.noise
    rng = np.random.default_rng(0)
    orders = [rng.permutation(1200) for _ in range(NUM_ORDERS)]
    assert noise.batch_sizes == (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1200)

    def batches(size: int) -> np.ndarray:
        whole = 1200 // size * size
        return np.concatenate([losses[order[:whole]].reshape(-1, size).mean(1) for order in orders])

    found = [batches(size) for size in noise.batch_sizes]
    np.testing.assert_allclose(noise.means, [batch.mean() for batch in found], rtol=1e-5)
    np.testing.assert_allclose(noise.deviations, [batch.std() for batch in found], rtol=1e-4, atol=1e-7)
    steady = batches(noise.smallest_batch_cv_below_1)
    assert steady.std() < steady.mean()
    if noise.smallest_batch_cv_below_1 > 1:
        noisy = batches(noise.smallest_batch_cv_below_1 - 1)
        assert noisy.std() >= noisy.mean()


def test_the_best_trial_is_the_one_whose_spread_is_measured(study: BatchSizes) -> None:
    best = min(study.curves, key=lambda curve: min(curve.losses))
    assert study.noise.trial == best.trial
    assert study.noise.virtual_epoch == int(np.argmin(best.losses)) + 1


def test_heavy_tails_need_larger_batches() -> None:
    losses = np.zeros((500, 1))
    losses[::50] = 1.0
    noise = batch_noise(losses, np.ones_like(losses), trial=0, virtual_epoch=1)
    assert noise.means[0] == pytest.approx(0.02)
    assert noise.deviations[0] == pytest.approx(np.sqrt(0.02 * 0.98))
    # Of batches of b out of 500: std(1) / sqrt(b) * sqrt((500 - b) / 499) is below 0.02 from b = 46 on.
    assert 40 <= noise.smallest_batch_cv_below_1 <= 50
    assert noise.deviations[-1] == pytest.approx(0, abs=1e-12)


def test_a_single_term_without_weight_does_not_count() -> None:
    losses, weights = np.array([[1.0], [np.nan], [3.0], [5.0]]), np.array([[1.0], [0.0], [1.0], [2.0]])
    assert batch_losses(losses, weights, np.arange(4), 2).tolist() == [1.0, (3 + 2 * 5) / 3]
    assert batch_losses(losses, weights, np.arange(4), 1).tolist() == [1.0, 0.0, 3.0, 5.0]


def test_losses_of_single_samples_make_the_loss_of_a_batch_of_several_terms() -> None:
    options = SegmentationOptions.model_validate(
        {
            "data": {"source": "digits", "size": 16, "num_train": 6, "num_valid": 2},
            "model": {"name": "unet", "width": 4, "depth": 1},
            "loss": {"dice": 0.5, "class_weights": "median_frequency"},
            "batch_size": 3,
        }
    )
    trainer = build_trainer(
        SegmentationTask,
        options,
        SegmentationTask.load_data(options),
        unit="steps",
        count=2,
        num_virtual_epochs=1,
        device=torch.device("cpu"),
    )
    trainer.run_virtual_epoch()
    source = trainer.task.train_data()
    losses, weights = sample_losses(trainer, source, np.arange(6))
    assert losses.shape == weights.shape == (6, 2)
    for batch_size in (2, 3, 6):
        found = batch_losses(losses, weights, np.arange(6), batch_size)
        for index, loss in enumerate(found):
            chosen = np.arange(index * batch_size, (index + 1) * batch_size)
            batch = source.batch(chosen, None)
            with torch.no_grad():
                expected = trainer.task.loss(trainer.task.forward(trainer.model, batch), batch).sum()
            assert loss == pytest.approx(float(expected), rel=1e-5)


def test_a_loss_that_was_there_before_the_end_counts_from_then() -> None:
    curve = Curve(batch_size=10, trial=0, epochs=(0.5, 1.0, 1.5), steps=(5, 10, 15), losses=(5.0, 3.0, 4.0))
    assert curve.reached(4.0) == Reached(virtual_epoch=2, epochs=1.0, steps=10)
    assert curve.reached(2.0) is None


def with_objective(folder: Path, text: str) -> None:
    config = folder / "config.yaml"
    before = config.read_text()
    config.write_text(before.replace("metric: train_loss", text))
    assert config.read_text() != before


def test_with_another_objective_the_losses_come_from_the_checkpoints(
    study: BatchSizes, tmp_path: Path
) -> None:
    folder = copy_of(study, tmp_path)
    with_objective(folder, "metric: valid_loss")
    again = study_batch_sizes(folder)
    assert (again.curves, again.reached, again.notes) == (study.curves, study.reached, ())


def test_trials_without_a_checkpoint_are_named(study: BatchSizes, tmp_path: Path) -> None:
    folder = copy_of(study, tmp_path)
    with_objective(folder, "metric: valid_loss")
    shutil.rmtree(folder / "trials" / "0001")
    again = study_batch_sizes(folder)
    assert [one.trial for one in again.curves] == [0, 2]
    assert "left out, as they have no checkpoint: trials 1; keep more" in again.notes[0]
    shutil.rmtree(folder / "trials" / "0002")
    with pytest.raises(
        SearchError,
        match=r"only one batch size, .*left out, as they have no checkpoint: trials 1, 2; .*choice: \[1, 10",
    ):
        study_batch_sizes(folder)
    shutil.rmtree(folder / "trials" / "0000")
    with pytest.raises(SearchError, match="left out, as they have no checkpoint: trials 0, 1, 2"):
        study_batch_sizes(folder)


def test_with_the_training_loss_as_objective_only_the_spread_needs_a_checkpoint(
    study: BatchSizes, tmp_path: Path
) -> None:
    folder = copy_of(study, tmp_path)
    shutil.rmtree(folder / "trials" / f"{study.noise.trial:04d}")
    again = study_batch_sizes(folder)
    assert again.curves == study.curves
    assert again.noise.trial != study.noise.trial
    shutil.rmtree(folder / "trials")
    with pytest.raises(SearchError, match="no intact checkpoint of a trial's best value"):
        study_batch_sizes(folder)


def test_one_batch_size_is_an_error_that_says_what_to_search(finished_run: Any) -> None:
    with pytest.raises(SearchError, match=r"9 trials, and only one batch size, 16\b.*search over it"):
        study_batch_sizes(finished_run.folder)


def test_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="is not the folder of a search"):
        study_batch_sizes(tmp_path)


def test_the_command_prints_a_row_per_batch_size_and_the_spread_of_the_loss(study: BatchSizes) -> None:
    done = CliRunner().invoke(cli, ["batch-sizes", study.folder, "--samples", "100"])
    assert done.exit_code == 0, done.output
    rows = [
        line.split()[0]
        for line in done.output.splitlines()
        if line and line.split()[0] in {"16", "100", "1,200"}
    ]
    assert rows == ["16", "100", "1,200"]
    assert "smallest batch with a coefficient of variation below 1: " in done.output
    assert "note: the spread of the loss was measured on 100 of 1200 samples" in done.output
    assert "batch_noise.png" in done.output


def test_matplotlib_is_imported_by_this_command_only() -> None:
    code = (
        "import sys, search.cli.main, search.run.search, search.commands.batch_sizes; "
        "import search.screen.texts.summary; "
        "assert 'matplotlib' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE).returncode == 0
