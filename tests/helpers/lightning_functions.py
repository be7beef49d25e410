"""Training functions with Lightning's Trainer, as people write them: small, on numbers that need no file."""

from __future__ import annotations

from typing import Any

import own_functions
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from trainables.function.trial import Trial
from trainables.integrations.lightning import Trainer

CALLED: list[str] = []
"""Hooks that were called, with what happened in them."""


def loader(batch_size: int = 16, *, shuffle: bool = True, number: int = 90) -> DataLoader[Any]:
    """90 samples: with 16 a batch, the last of a pass has 10."""
    return DataLoader(own_functions.data(number), batch_size=batch_size, shuffle=shuffle)


class Module(pl.LightningModule):
    """Dropout and batch norm, a schedule per step and one that looks at a metric per epoch."""

    def __init__(self, lr: float = 0.05, width: int = 8) -> None:
        super().__init__()
        self.lr = lr
        self.network = nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 2)
        )

    def training_step(self, batch: list[Tensor]) -> Tensor:
        inputs, labels = batch
        loss = F.cross_entropy(self.network(inputs), labels)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: list[Tensor]) -> None:
        inputs, labels = batch
        outputs = self.network(inputs)
        self.log("loss", F.cross_entropy(outputs, labels))
        self.log("valid/accuracy", (outputs.argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        return [optimizer], [{"scheduler": plateau, "monitor": "loss"}]


class Scheduled(Module):
    """Of which Lightning says how many steps there will be."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.lr, total_steps=steps)
        CALLED.append(f"{steps} steps")
        return [optimizer], [{"scheduler": cycle, "interval": "step"}]


class Data(pl.LightningDataModule):
    """Whose loaders Lightning asks for after setup."""

    def setup(self, stage: str) -> None:
        CALLED.append(f"setup {stage}")
        self.batch_size = 16

    def train_dataloader(self) -> DataLoader[Any]:
        return loader(self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return loader(32, shuffle=False, number=70)

    def teardown(self, stage: str) -> None:
        CALLED.append(f"teardown {stage}")


class Told(pl.Callback):
    """Says which hooks are called."""

    def on_exception(self, *_: Any) -> None:
        CALLED.append("on_exception")

    def on_train_end(self, *_: Any) -> None:
        CALLED.append("on_train_end")


def train(trial: Trial, lr: float = 0.05, width: int = 8, accumulate: int = 1) -> None:
    trainer = Trainer(trial, accumulate_grad_batches=accumulate, callbacks=Told())
    trainer.fit(Module(lr, width), loader(), loader(32, shuffle=False, number=70))


def with_data_module(trial: Trial, lr: float = 0.05) -> None:
    Trainer(trial, callbacks=[Told()], precision="bf16-mixed").fit(Scheduled(lr), datamodule=Data())


def stops(trial: Trial, patience: int = 1) -> None:
    """A user's own early stopping, as the loss never falls by so much."""
    stopping = EarlyStopping("loss", min_delta=10.0, patience=patience)
    Trainer(trial, callbacks=[stopping, Told()]).fit(Module(), loader(), loader(shuffle=False))


def with_workers(trial: Trial) -> None:
    batches = DataLoader(own_functions.data(), batch_size=16, shuffle=True, num_workers=1)
    Trainer(trial).fit(Module(), batches, loader(shuffle=False))
