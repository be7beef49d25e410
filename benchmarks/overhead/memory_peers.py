"""The searches that memory.py measures, one in a process: each trial reads all of its data, then waits."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.overhead.work import NoMetrics
from trainables.options import TrialOptions
from trainables.task import Task

WIDTH = 1024


def make_data(megabytes: int) -> np.ndarray:
    """Rows of random numbers, so many megabytes in all."""
    return np.random.default_rng(0).standard_normal((megabytes * 2**20 // (4 * WIDTH), WIDTH), np.float32)


def meet() -> None:
    """Say that this trial has read its data, and wait until the memory has been looked at."""
    folder = Path(os.environ["MEMORY_FOLDER"])
    (folder / f"ready_{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.05)


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, 1))


def train(data: np.ndarray) -> float:
    """One pass in batches of 256, as a person would write it; then the trials meet."""
    torch.set_num_threads(1)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters())
    inputs, loss = torch.from_numpy(data), torch.zeros(())
    for rows in torch.randperm(len(inputs)).split(256):
        loss = model(inputs[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    meet()
    return loss.item()


class MeetingMetrics(NoMetrics):
    """Validation comes after the epoch over the training data: all trials have read all of it."""

    def compute(self) -> dict[str, float]:
        meet()
        return {}


class ArrayTask(Task):
    Options: ClassVar[type[TrialOptions]] = TrialOptions

    @classmethod
    def load_data(cls, options: TrialOptions) -> dict[str, np.ndarray]:
        x = make_data(options.data["megabytes"])
        return {"x": x, "y": np.zeros(len(x), np.float32)}

    def train_data(self) -> Any:
        return self.arrays["x"], self.arrays["y"]

    def valid_data(self) -> Any:
        return self.arrays["x"][:256], self.arrays["y"][:256]

    def build_model(self) -> nn.Module:
        return make_model()

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        return F.mse_loss(outputs[:, 0], batch[1])

    def metrics(self) -> MeetingMetrics:
        return MeetingMetrics()


def tune_search(trials: int, megabytes: int, folder: Path) -> None:
    import ray

    from search import search

    # More trials at once than this machine may have cores.
    ray.init(num_cpus=trials, include_dashboard=False, log_to_driver=False)
    search(
        {
            "name": "memory",
            "task": "benchmarks.overhead.memory_peers:ArrayTask",
            "objective": {"metric": "valid_loss", "mode": "min"},
            "trial": {
                "data": {"megabytes": megabytes},
                "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-3]}},
                "batch_size": 256,
            },
            "virtual_epoch": {"epochs": 1},
            "budget": {"trials": trials, "max_virtual_epochs": 1},
            "sampler": {"name": "random"},
            "scheduler": {"name": "none"},
        },
        results=folder,
    )


def ray_closure(trials: int, megabytes: int, folder: Path) -> None:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # Ray refuses what is larger than 95 MiB in a function, until it is told otherwise.
    os.environ["FUNCTION_SIZE_ERROR_THRESHOLD"] = str(4 * megabytes * 2**20)
    import ray
    from ray import tune

    ray.init(num_cpus=trials, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    data = make_data(megabytes)

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": train(data)})

    tune.Tuner(
        trainable,
        param_space={"number": tune.grid_search(list(range(trials)))},
        run_config=tune.RunConfig(name="run", storage_path=str(folder), verbose=0),
    ).fit()


def optuna_processes(trials: int, megabytes: int, folder: Path) -> None:
    np.save(folder / "data.npy", make_data(megabytes))
    import optuna

    optuna.create_study(storage=_journal(folder), study_name="memory")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_optimize, args=(folder,)) for _ in range(trials)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _journal(folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def _optimize(folder: Path) -> None:
    import optuna

    data = np.load(folder / "data.npy")

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("lr", 1e-4, 1e-3)
        return train(data)

    optuna.load_study(storage=_journal(folder), study_name="memory").optimize(objective, n_trials=1)


CONTENDERS = {
    "tune-search": tune_search,
    "Ray Tune, closure": ray_closure,
    "Optuna, processes": optuna_processes,
}

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    CONTENDERS[given["way"]](given["trials"], given["megabytes"], Path(given["folder"]))
