"""The module as a search: trials are paused and promoted, saved, and continued after a kill."""

import pytorch_lightning as pl
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

import search
from examples.digits import make_network, train_digits, valid_digits
from trainables.integrations.lightning import Trainer


class Digits(pl.LightningModule):
    def __init__(self, lr, width):
        super().__init__()
        self.lr, self.network = lr, make_network(width)

    def training_step(self, batch):
        images, labels = batch
        return F.cross_entropy(self.network(images), labels)

    def validation_step(self, batch):
        images, labels = batch
        outputs = self.network(images)
        self.log("val_accuracy", (outputs.argmax(dim=1) == labels).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def main(trial, lr=1e-2, width=64):
    trainer = Trainer(trial)
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    trainer.fit(Digits(lr, width), loader, DataLoader(valid_digits(), batch_size=500))


if __name__ == "__main__":
    search.search(
        main,
        space={"lr": search.loguniform(1e-4, 1e-1), "width": search.lograndint(8, 128)},
        objective={"metric": "val_accuracy", "mode": "max"},
        virtual_epoch={"steps": 40},
        budget={"trials": 8, "max_virtual_epochs": 9},
        name="digits",
    )
