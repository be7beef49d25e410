"""A script as somebody has it: a LightningModule, trained once."""

import pytorch_lightning as pl
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader

from examples.digits import make_network, train_digits, valid_digits


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


def main():
    lr, width = 1e-2, 64
    trainer = pl.Trainer(max_epochs=9)
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    trainer.fit(Digits(lr, width), loader, DataLoader(valid_digits(), batch_size=500))


if __name__ == "__main__":
    main()
