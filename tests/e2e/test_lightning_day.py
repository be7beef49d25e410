"""A newcomer's day with Lightning: a module in a file, then what README says to type, each as a program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from programs import PROGRAM, ROOT
from safetensors.torch import load_file

SCRIPT = """
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import search
from trainables.integrations.lightning import Trainer


class Digits(pl.LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.lr = lr
        self.layer = torch.nn.Linear(64, 10)

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", F.cross_entropy(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def train(trial: search.Trial, lr: float = 1e-3) -> None:
    images, labels = load_digits(return_X_y=True)
    samples = TensorDataset(torch.tensor(images).float() / 16, torch.tensor(labels))
    loader = DataLoader(samples, batch_size=32, shuffle=True)
    Trainer(trial).fit(Digits(lr), loader, DataLoader(samples, batch_size=600))


if __name__ == "__main__":
    search.alone(train, virtual_epochs=2, steps=10)
"""
CONFIG = """
task: my_digits:train
objective: {metric: val/loss, mode: min}
virtual_epoch: {steps: 20}
budget: {trials: 4, max_virtual_epochs: 3}
trial:
  lr: {loguniform: [1e-4, 1e-1]}
"""


def test_a_day_with_a_module_of_ones_own(tmp_path: Path, ray_session: None) -> None:
    (tmp_path / "my_digits.py").write_text(SCRIPT)
    (tmp_path / "digits.yaml").write_text(CONFIG)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "virtual epoch 2 of 2, step 20: val/loss" in run(sys.executable, "my_digits.py")
    checked = run(*PROGRAM, "check", "digits.yaml")
    assert "\n  val/loss " in checked
    assert "\nok\n" in checked
    assert "search complete: all 4 trials are done" in run(*PROGRAM, "digits.yaml")
    assert "re-evaluated from these files: val/loss" in run(*PROGRAM, "export", "results/digits")
    weights = load_file(tmp_path / "results" / "digits" / "export" / "model.safetensors")
    assert sorted(weights) == ["layer.bias", "layer.weight"]
    assert "retrained for 3 virtual epochs" in run(*PROGRAM, "retrain", "results/digits/export")
    left = {path.name for path in tmp_path.iterdir()} - {"my_digits.py", "digits.yaml", "__pycache__"}
    assert left == {"results"}
