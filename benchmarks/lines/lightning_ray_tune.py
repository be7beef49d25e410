"""The module as a search of Ray Tune with Optuna and ASHA: weak trials are stopped, a kill loses all."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from ray import tune
from ray.tune.integration.pytorch_lightning import TuneReportCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
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


def main(config):
    lr, width = config["lr"], config["width"]
    report = TuneReportCallback({"accuracy": "val_accuracy"}, on="validation_end")
    trainer = pl.Trainer(max_epochs=9, callbacks=[report], logger=False, enable_progress_bar=False)
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    trainer.fit(Digits(lr, width), loader, DataLoader(valid_digits(), batch_size=500))


if __name__ == "__main__":
    tuner = tune.Tuner(
        tune.with_resources(main, {"cpu": 1}),
        param_space={"lr": tune.loguniform(1e-4, 1e-1), "width": tune.lograndint(8, 129)},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=8,
            search_alg=OptunaSearch(),
            scheduler=ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(name="digits", storage_path=str(Path("results").absolute())),
    )
    print(tuner.fit().get_best_result().config)
