"""The same with Optuna, continued after a kill: an unfinished trial begins again from its last epoch.

The callback is written here: that of optuna-integration needs attributes which Optuna 5 has no more.
"""

from pathlib import Path

import optuna
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
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


class Pruning(pl.Callback):
    def __init__(self, trial):
        self.trial = trial

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.trial.report(trainer.callback_metrics["val_accuracy"].item(), trainer.current_epoch)
            if self.trial.should_prune():
                raise optuna.TrialPruned


def main(trial):
    lr, width = trial.suggest_float("lr", 1e-4, 1e-1, log=True), trial.suggest_int("width", 8, 128, log=True)
    number = optuna.storages.RetryFailedTrialCallback.retried_trial_number(trial.study.trials[trial.number])
    folder = Path("checkpoints", str(trial.number if number is None else number))
    saving = ModelCheckpoint(dirpath=folder, save_last=True)
    trainer = pl.Trainer(
        max_epochs=9, callbacks=[Pruning(trial), saving], logger=False, enable_progress_bar=False
    )
    loader = DataLoader(train_digits(), batch_size=32, shuffle=True)
    loaders = loader, DataLoader(valid_digits(), batch_size=500)
    saved = folder / "last.ckpt"
    trainer.fit(Digits(lr, width), *loaders, ckpt_path=saved if saved.exists() else None)
    return trainer.callback_metrics["val_accuracy"].item()


if __name__ == "__main__":
    storage = optuna.storages.RDBStorage(
        "sqlite:///digits.db",
        heartbeat_interval=60,
        failed_trial_callback=optuna.storages.RetryFailedTrialCallback(inherit_intermediate_values=True),
    )
    study = optuna.create_study(
        direction="maximize",
        pruner=optuna.pruners.SuccessiveHalvingPruner(reduction_factor=3),
        storage=storage,
        study_name="digits",
        load_if_exists=True,
    )
    study.optimize(main, n_trials=8 - len(study.trials))
    print(study.best_params)
