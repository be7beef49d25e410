"""A LightningModule in a training function: `Trainer(trial)` stands where `pl.Trainer(…)` stood.

tune-search examples/lightning_digits.yaml          # search
python -m examples.lightning_digits                 # train once with the default values
"""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

import search
from examples.digits import make_network, train_digits, valid_digits
from trainables.integrations.lightning import Trainer


class Digits(pl.LightningModule):
    def __init__(self, lr: float, width: int) -> None:
        super().__init__()
        self.lr, self.network = lr, make_network(width)

    def training_step(self, batch: list[Tensor]) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def validation_step(self, batch: list[Tensor]) -> None:
        images, labels = batch
        outputs = self.network(images)
        self.log("val_loss", F.cross_entropy(outputs, labels))
        self.log("val_accuracy", (outputs.argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def train(trial: search.Trial, lr: float = 1e-2, batch_size: int = 32, width: int = 64) -> None:
    trainer = Trainer(trial, gradient_clip_val=1.0)
    loader = DataLoader(train_digits(), batch_size=batch_size, shuffle=True)
    trainer.fit(Digits(lr, width), loader, DataLoader(valid_digits(), batch_size=500))


if __name__ == "__main__":
    search.alone(train)
