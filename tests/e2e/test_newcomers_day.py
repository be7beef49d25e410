"""A day of a person with photographs, a network, a loss, weights and a training function of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

LOSS = '''
import torch


def tversky(outputs, targets, alpha=0.5, ignore_index=255):
    """One minus the Tversky index, the mean over the classes."""
    probabilities = outputs.softmax(dim=1)
    valid = (targets != ignore_index)[:, None]
    classes = torch.nn.functional.one_hot(targets.where(valid[:, 0], 0), outputs.shape[1])
    truth = classes.movedim(-1, 1) * valid
    dims = (0, 2, 3)
    hit = (probabilities * truth).sum(dims)
    false_alarm = (probabilities * valid * (1 - truth)).sum(dims)
    missed = ((1 - probabilities) * truth).sum(dims)
    return 1 - (hit / (hit + alpha * false_alarm + (1 - alpha) * missed + 1e-6)).mean()
'''
FUNCTION = """
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import search

generator = torch.Generator().manual_seed(0)
inputs = torch.randn(300, 4, generator=generator)
labels = (inputs[:, 0] * inputs[:, 1] > 0).long()


def train(trial: search.Trial, lr: float = 1e-2, width: int = 16) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.ReLU(), torch.nn.Linear(width, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    rows = TensorDataset(inputs[:200], labels[:200])
    batches = trial.batches(DataLoader(rows, batch_size=16, shuffle=True))
    trial.track(model=model, optimizer=optimizer)
    trial.evaluated_by(lambda: {"accuracy": (model(inputs[200:]).argmax(1) == labels[200:]).float().mean()})
    for steps in trial.virtual_epochs():
        for _ in steps:
            rows, targets = next(batches)
            loss = F.cross_entropy(model(rows), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        trial.report(**trial.evaluate(), loss=loss)


if __name__ == "__main__":
    search.alone(train)
"""
FUNCTION_YAML = """
task: my_training:train
objective: {metric: accuracy, mode: max}
virtual_epoch: {steps: 10}
budget: {trials: 3, max_virtual_epochs: 3}
trial: {lr: {loguniform: [1e-3, 1e-1]}, width: {choice: [8, 16]}}
"""
NETWORK = (
    '{name: "monai.networks.nets:UNet", spatial_dims: 2, in_channels: 3, out_channels: 3, '
    "channels: [8, 16], strides: [2]"
)
SMALL = (
    "--set",
    "budget.trials=2",
    "--set",
    "budget.max_virtual_epochs=2",
    "--set",
    "virtual_epoch={steps: 4}",
)


def photographs(folder: Path) -> None:
    """24 JPEGs of a disc and a bar on a noisy ground, with masks of a palette."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows, columns = np.mgrid[:48, :64]
    for number in range(24):
        pixels, mask = rng.integers(60, 110, (48, 64, 3)), np.zeros((48, 64), np.uint8)
        row, column, radius = rng.uniform(14, 34), rng.uniform(14, 50), rng.uniform(6, 12)
        bar, disc = abs(rows - row) < 3, (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        for label, place, colour in ((2, bar, (0, 40, 110)), (1, disc, (90, 20, 0))):
            pixels[place] += np.array(colour)
            mask[place] = label
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            folder / "images" / f"photo_{number:03d}.jpg"
        )
        image = Image.fromarray(mask, "P")
        image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
        image.save(folder / "masks" / f"photo_{number:03d}.png")


def typed(folder: Path, *args: str) -> str:
    """What `tune-search …` prints when it ends well."""
    done = run(*args, cwd=folder)
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout


def with_own_model(yaml: str, model: str) -> str:
    """The configuration of `init` with another line for the model."""
    (line,) = [line for line in yaml.splitlines() if line.strip().startswith("model: {")]
    return yaml.replace(line, f"  model: {model}")


def test_a_day_with_a_network_a_loss_and_weights_of_ones_own(tmp_path: Path) -> None:
    photographs(tmp_path / "photos")
    (tmp_path / "my_loss.py").write_text(LOSS)
    assert "tune-search check first.yaml" in typed(tmp_path, "init", "photos", "--out", "first.yaml")
    first = tmp_path / "first.yaml"
    written = first.read_text()
    assert "images and masks: 19 to train, 5 to validate; 3 classes" in written
    assert typed(tmp_path, "check", "first.yaml").endswith("ok\n")

    first.write_text(with_own_model(written.replace("name: photos", "name: first"), f"{NETWORK}}}"))
    typed(tmp_path, "first.yaml", *SMALL, "--local")
    typed(tmp_path, "export", "results/first")

    written = written.replace("name: photos", "name: second")
    second = with_own_model(written, f"{NETWORK}, weights: results/first/export/model.safetensors}}")
    (line,) = [line for line in second.splitlines() if line.strip().startswith("dice:")]
    own = '    terms: {tversky: {name: "my_loss:tversky", alpha: {uniform: [0.3, 0.7]}, coefficient: 1.0}}'
    second = second.replace(line, f"{line}\n{own}\n  freeze: [{{match: 'model.0.*', until: 4}}]")
    (tmp_path / "second.yaml").write_text(second)
    assert "8 of 8 weights loaded" in typed(tmp_path, "check", "second.yaml", *SMALL)
    assert "complete" in typed(tmp_path, "second.yaml", *SMALL)
    summary = json.loads((tmp_path / "results/second/summary.json").read_text())
    assert summary["status"] == "complete"
    events = EventAccumulator(
        str(tmp_path / f"results/second/trials/{summary['best']['trial']:04d}")
    ).Reload()
    assert "best/miou" in events.Tags()["scalars"]
    (at_best,) = (event for event in events.Scalars("miou") if event.step == summary["best"]["step"])
    assert at_best.value == pytest.approx(summary["best"]["value"])
    assert events.Tags()["images"]
    exported = typed(tmp_path, "export", "results/second")
    assert f"{summary['best']['value']:.4f}"[:5] in exported
    card = (tmp_path / "results/second/export/README.md").read_text()
    assert "from monai.networks.nets import UNet" in card
    typed(tmp_path, "retrain", "results/second/export", "--virtual-epochs", "1")
    assert "no problems found" in typed(tmp_path, "verify", "results/second")


def test_a_day_with_a_training_function_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "my_training.py").write_text(FUNCTION)
    (tmp_path / "mine.yaml").write_text(FUNCTION_YAML)
    assert "my_training" in typed(tmp_path, "check", "mine.yaml")
    typed(tmp_path, "mine.yaml")
    assert "accuracy" in typed(tmp_path, "export", "results/mine")
    typed(tmp_path, "retrain", "results/mine/export")
    assert "no problems found" in typed(tmp_path, "verify", "results/mine")
