"""A GAN through the whole program: search, resume, export, retraining and verification."""

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
from in_process import search_locally
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import search
from search.errors import SearchError
from search.run.outcome.summary import Summary
from search.run.search import resume as resume_search
from trainables.checkpoints.checkpoint import read_checkpoint
from trainables.predicting.noise import fixed_latents

CONFIG: dict[str, Any] = {
    "name": "gan",
    "task": "gan",
    "objective": {"metric": "frechet_distance", "mode": "min"},
    "trial": {
        "model": {"name": "mlp", "latent_size": 6, "width": {"choice": [2, 4]}},
        "optimizer": {"name": "adam", "lr": {"loguniform": [1e-3, 1e-2]}, "betas": [0.0, 0.99]},
        "discriminator_optimizer": {"name": "adam", "lr": {"loguniform": [1e-3, 1e-2]}, "betas": [0.0, 0.99]},
        "discriminator_steps": {"choice": [1, 2]},
        "loss": {"name": {"choice": ["non_saturating", "hinge"]}, "r1": 0.1},
        "evaluation": {"num_samples": 200},
        "ema": 0.9,
        "batch_size": 8,
    },
    "virtual_epoch": {"steps": 4},
    "budget": {"trials": 3, "max_virtual_epochs": 3},
}


@pytest.fixture(scope="module")
def gan_run(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """The summary of a finished search; look at it, change nothing."""
    return search_locally(CONFIG, results=tmp_path_factory.mktemp("results"))


@pytest.fixture
def run(gan_run: Summary, tmp_path: Path) -> Path:
    """A copy of the finished run, to write into."""
    return Path(shutil.copytree(gan_run.folder, tmp_path / "run"))


def prepared(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "prepared").iterdir()}


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def test_both_learning_rates_are_searched_and_the_best_has_the_least_distance(gan_run: Summary) -> None:
    assert gan_run.best is not None
    assert {"optimizer.lr", "discriminator_optimizer.lr", "discriminator_steps"} <= set(gan_run.best.params)
    checkpoint = read_checkpoint(
        Path(gan_run.folder) / "trials" / f"{gan_run.best.trial:04d}", gan_run.best.virtual_epoch
    )
    distances = [record["frechet_distance"] for record in checkpoint.info["history"]]
    assert gan_run.best.value == min(distances)
    assert {"class_coverage", "discriminator_loss", "valid_loss"} <= set(checkpoint.info["history"][0])


def test_the_classifier_is_kept_once_and_a_resumed_search_measures_with_the_same(run: Path) -> None:
    before = prepared(run)
    assert len(before) == 1
    (file,) = (run / "prepared").iterdir()
    (run / "prepared" / f".{file.name}.1.partial").write_bytes(b"rest")  # of a process that was killed
    written = file.stat().st_mtime_ns
    summary = resume_search(run, overrides=["budget.trials=4"])
    assert summary.trials == 4
    assert prepared(run) == before
    assert file.stat().st_mtime_ns == written


def test_the_exported_generator_gives_the_same_digits_in_plain_torch(run: Path, gan_run: Summary) -> None:
    assert gan_run.best is not None
    exported = search.export(run)
    assert exported.value == gan_run.best.value
    weights = exported.folder / "model.safetensors"
    latents = fixed_latents(200, 6, 0)
    np.save(run / "latents.npy", latents)
    hidden = 8 * gan_run.best.params["model.width"]
    code = f"""
import numpy, torch
from safetensors.torch import load_file
from torch import nn
generator = nn.Sequential(
    nn.Linear(6, {hidden}), nn.LeakyReLU(0.2), nn.Linear({hidden}, {hidden}), nn.LeakyReLU(0.2),
    nn.Linear({hidden}, 64), nn.Tanh())
generator.load_state_dict(load_file("export/model.safetensors"))
with torch.inference_mode():
    numpy.save("digits.npy", generator(torch.from_numpy(numpy.load("latents.npy"))).numpy())
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=run, env={})
    digits = np.load(run / "digits.npy")
    checkpoint = read_checkpoint(run / "trials" / f"{exported.trial:04d}", gan_run.best.virtual_epoch)
    averaged = checkpoint.state()["average"]["model"]
    assert all(torch.equal(tensor, averaged[name]) for name, tensor in load_file(weights).items())
    assert frechet_of(run, digits.reshape(-1, 1, 8, 8)) == pytest.approx(exported.value, rel=1e-5)


def frechet_of(run: Path, digits: np.ndarray) -> float:
    """The distance of digits by the run's own classifier."""
    from trainables.data.prepared import read_arrays
    from trainables.gan.classifier import classifier_from
    from trainables.gan.frechet import frechet_distance, mean_and_covariance

    (file,) = (run / "prepared").iterdir()
    arrays = read_arrays(file)
    features, _ = classifier_from(arrays)(torch.from_numpy(digits))
    real = (torch.tensor(arrays[name]) for name in ("valid_mean", "valid_covariance"))
    return frechet_distance(*mean_and_covariance(features), *real)


def test_an_export_carries_what_measured_it_and_retraining_uses_it(run: Path) -> None:
    exported = search.export(run)
    (content,) = prepared(run).values()
    assert (exported.folder / "prepared.safetensors").read_bytes() == content
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=exported.folder, capture_output=True)
    assert checked.stdout.count(b": OK") == 7
    moved = run.parent / "elsewhere"
    shutil.copytree(exported.folder, moved / "export")
    done = search.retrain(moved / "export", virtual_epochs=1)
    assert list(prepared(moved / "retrain").values()) == [content]
    assert done.export is not None
    assert (done.export.folder / "prepared.safetensors").read_bytes() == content
    assert done.export.value < 4 * exported.value


def test_retraining_from_scratch_repeats_the_search(run: Path, gan_run: Summary) -> None:
    exported = search.export(run)
    done = search.retrain(exported.folder, from_scratch=True)
    assert done.export is not None
    assert gan_run.best is not None
    assert done.export.value == gan_run.best.value
    first, second = (load_file(e.folder / "model.safetensors") for e in (exported, done.export))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_damage_to_what_measures_is_found_with_its_cost_and_stops_everything(run: Path) -> None:
    exported = search.export(run)
    assert search.verify(run).damages == []
    (file,) = (run / "prepared").iterdir()
    damage(file)
    (found,) = search.verify(run).damages
    assert found.path == f"prepared/{file.name}"
    assert "cannot continue or be exported; once removed, it is computed again" in found.cost
    for call in (search.export, resume_search):
        with pytest.raises(SearchError, match=r"safetensors is damaged \(SHA-256 is .*remove it"):
            call(run)
    file.unlink()
    assert search.export(run).value == exported.value
    assert search.verify(run).damages == []


def test_damage_to_the_exported_copy_is_found(run: Path) -> None:
    exported = search.export(run)
    damage(exported.folder / "prepared.safetensors")
    (found,) = search.verify(run).damages
    assert found.path == "export/prepared.safetensors"
    with pytest.raises(SearchError, match=r"export/prepared\.safetensors is damaged .*; export again"):
        search.retrain(exported.folder)
    (exported.folder / "prepared.safetensors").unlink()
    (found,) = search.verify(run).damages
    assert found.what == "is missing"


def test_generated_digits_are_shown_in_tensorboard(gan_run: Summary) -> None:
    assert gan_run.best is not None
    events = EventAccumulator(str(Path(gan_run.folder) / "trials" / f"{gan_run.best.trial:04d}"))
    events.Reload()
    assert events.Tags()["images"] == ["generated"]
    picture = events.Images("generated")[-1]
    assert (picture.width, picture.height) == (364, 220)
    assert {"frechet_distance", "discriminator_loss", "class_coverage"} <= set(events.Tags()["scalars"])


def test_the_metrics_of_the_export_are_those_of_the_search(run: Path) -> None:
    exported = search.export(run)
    report = json.loads((exported.folder / "metrics.json").read_text())
    record = report["history"][report["virtual_epoch"] - 1]
    for name in ("frechet_distance", "class_coverage", "discriminator_loss", "valid_loss"):
        assert report["metrics"][name] == record[name]
