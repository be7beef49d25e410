"""Training functions with Lightning's Trainer, as people write them: small, on numbers that need no file."""

from __future__ import annotations

from typing import Any

import own_functions
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, DistributedSampler

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


class Plain(Module):
    """Without schedules."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Scheduled(Module):
    """Of which Lightning says how many steps there will be."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=self.lr, total_steps=steps)
        CALLED.append(f"{steps} steps")
        return [optimizer], [{"scheduler": cycle, "interval": "step"}]


class ByHand(Module):
    """Two optimizers that the module steps itself, as those of a GAN."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: list[Tensor]) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        halves = self.network[0], self.network[4]
        return [torch.optim.Adam(half.parameters(), lr=self.lr) for half in halves]


class Data(pl.LightningDataModule):
    """Whose loaders Lightning asks for after setup."""

    def setup(self, stage: str) -> None:
        CALLED.append(f"setup {TrainerFn(stage).value}")
        self.batch_size = 16

    def train_dataloader(self) -> DataLoader[Any]:
        return loader(self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return loader(32, shuffle=False, number=70)

    def teardown(self, stage: str) -> None:
        CALLED.append(f"teardown {TrainerFn(stage).value}")


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


def fails(trial: Trial) -> None:
    class Failing(Module):
        def training_step(self, batch: list[Tensor]) -> Tensor:
            if self.trainer.global_step == 2:
                raise RuntimeError("no luck in step 3")
            return super().training_step(batch)

    Trainer(trial, callbacks=[Told()]).fit(Failing(), loader(), loader(shuffle=False))


def logs_nothing(trial: Trial) -> None:
    class Silent(Plain):
        def log(self, *_: Any, **__: Any) -> None:
            pass

    Trainer(trial).fit(Silent(), loader())


def logs_a_step(trial: Trial) -> None:
    class Steps(Module):
        def on_validation_epoch_end(self) -> None:
            self.log("step", 3.0)

    Trainer(trial).fit(Steps(), loader(), loader(shuffle=False))


def skips_the_rest(trial: Trial) -> None:
    class Skipping(Plain):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == 2 else None

    Trainer(trial).fit(Skipping(), loader(), loader(shuffle=False))


def stops_in_the_middle(trial: Trial) -> None:
    class Stopping(Module):
        def on_train_batch_end(self, *_: Any) -> None:
            self.trainer.should_stop = self.trainer.global_step >= 7

    Trainer(trial).fit(Stopping(), loader(), loader(shuffle=False))


def with_two_loaders(trial: Trial) -> None:
    Trainer(trial).fit(Module(), {"a": loader(), "b": loader()}, loader(shuffle=False))


def from_a_file(trial: Trial) -> None:
    Trainer(trial).fit(Module(), loader(), loader(), ckpt_path="last.ckpt")


def fits_twice(trial: Trial) -> None:
    for _ in range(2):
        Trainer(trial).fit(Module(), loader(), loader(shuffle=False))


def keeps_files(trial: Trial) -> None:
    """A user's own checkpoints, where the user wants them."""
    best = ModelCheckpoint(monitor="loss", filename="best")
    Trainer(trial, callbacks=[best]).fit(Module(), loader(), loader(shuffle=False))
    CALLED.append(str(best.best_model_path))


def keeps_an_object(trial: Trial) -> None:
    class Keeping(pl.Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"of": self}

    Trainer(trial, callbacks=[Keeping()]).fit(Module(), loader(), loader(shuffle=False))


def builds_late(trial: Trial) -> None:
    """Layers that come in a hook, and a hyperparameter that is an object."""

    class Late(Module):
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"activation": nn.ReLU})

        def configure_model(self) -> None:
            self.late = nn.Linear(2, 2)

        def training_step(self, batch: list[Tensor]) -> Tensor:
            return super().training_step(batch) + 0.01 * self.late.weight.square().sum()

    Trainer(trial).fit(Late(), loader(), loader(shuffle=False))


def not_validated(trial: Trial) -> None:
    Trainer(trial).fit(Plain(), loader())


def by_hand(trial: Trial) -> None:
    Trainer(trial).fit(ByHand(), loader(), loader(shuffle=False))


def with_a_sampler(trial: Trial) -> None:
    samples = own_functions.data()
    sampler = DistributedSampler(samples, num_replicas=1, rank=0)
    Trainer(trial).fit(Module(), DataLoader(samples, 16, sampler=sampler), loader(shuffle=False))
