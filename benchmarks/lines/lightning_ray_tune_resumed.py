"""The same with Ray Tune, continued after a kill: from the last report, with batches of another order."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from ray import tune
from ray.tune.integration.pytorch_lightning import TuneReportCheckpointCallback
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


FOLDER = Path("results").absolute()


def main(config):
    lr, width = config["lr"], config["width"]
    report = TuneReportCheckpointCallback(
        {"accuracy": "val_accuracy"}, filename="saved.ckpt", on="validation_end"
    )
    trainer = pl.Trainer(max_epochs=9, callbacks=[report], logger=False, enable_progress_bar=False)
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    loaders = loader, DataLoader(valid_digits(), batch_size=500)
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            trainer.fit(Digits(lr, width), *loaders, ckpt_path=f"{folder}/saved.ckpt")
    else:
        trainer.fit(Digits(lr, width), *loaders)


if __name__ == "__main__":
    trainable = tune.with_resources(main, {"cpu": 1})
    if tune.Tuner.can_restore(str(FOLDER / "digits")):
        tuner = tune.Tuner.restore(str(FOLDER / "digits"), trainable=trainable, resume_errored=True)
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={"lr": tune.loguniform(1e-4, 1e-1), "width": tune.lograndint(8, 129)},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                num_samples=8,
                search_alg=OptunaSearch(),
                scheduler=ASHAScheduler(max_t=9, grace_period=1, reduction_factor=3),
            ),
            run_config=tune.RunConfig(
                name="digits",
                storage_path=str(FOLDER),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            ),
        )
    print(tuner.fit().get_best_result().config)
