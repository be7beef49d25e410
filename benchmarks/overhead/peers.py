"""The contenders of run.py, each as its own documentation shows it; one of them runs in one process.

    python -m benchmarks.overhead.peers tune-search '{"seconds": [0.1], "virtual_epochs": 5, "folder": "."}'

What is not needed to run trials and to keep a checkpoint of each report is off: progress, loggers, printing.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

WORKERS = 2


def tune_search(seconds: list[float], virtual_epochs: int, folder: Path) -> None:
    from search import search

    points = sorted(set(seconds))
    search(
        {
            "name": "overhead",
            "task": "benchmarks.overhead.work:TimedTask",
            "objective": {"metric": "valid_loss", "mode": "min"},
            "trial": {
                "model": {"seconds": {"choice": points}, "number": {"choice": list(range(len(seconds)))}},
                "optimizer": {"name": "adamw", "lr": 1e-3},
                "batch_size": 16,
            },
            "virtual_epoch": {"steps": 1},
            "budget": {"trials": len(seconds), "max_virtual_epochs": virtual_epochs},
            "sampler": {
                "name": "random",
                "points_to_evaluate": [
                    {"model": {"seconds": value, "number": number}} for number, value in enumerate(seconds)
                ],
            },
            "scheduler": {"name": "none"},
            "resources": {"cpus_per_trial": 1, "concurrent_trials": WORKERS},
        },
        results=folder,
    )


def ray_function(seconds: list[float], virtual_epochs: int, folder: Path) -> None:
    """A function that reports with a checkpoint, see Ray Tune's getting started."""
    from ray import tune

    def train(config: dict[str, Any]) -> None:
        from benchmarks.overhead.work import PlainTrial

        trial = PlainTrial(config["point"]["seconds"])
        for _ in range(virtual_epochs):
            loss = trial.virtual_epoch()
            with tempfile.TemporaryDirectory() as checkpoint:
                trial.save(Path(checkpoint) / "checkpoint.pt")
                tune.report({"loss": loss}, checkpoint=tune.Checkpoint.from_directory(checkpoint))

    _tune(train, seconds, folder, reuse_actors=False)


def ray_reused(seconds: list[float], virtual_epochs: int, folder: Path) -> None:
    """A class with `reset_config`, whose process takes the next trial, see Ray Tune's guide to trainables."""
    from ray import tune

    class Train(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            from benchmarks.overhead.work import PlainTrial

            self.trial = PlainTrial(config["point"]["seconds"])

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.setup(new_config)
            return True

        def step(self) -> dict[str, Any]:
            loss = self.trial.virtual_epoch()
            return {"loss": loss, "done": self.iteration + 1 >= virtual_epochs}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            self.trial.save(Path(checkpoint_dir) / "checkpoint.pt")

        def load_checkpoint(self, checkpoint: Any) -> None: ...

    _tune(
        Train,
        seconds,
        folder,
        reuse_actors=True,
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1),
    )


def _tune(trainable: Any, seconds: list[float], folder: Path, *, reuse_actors: bool, **options: Any) -> None:
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    import ray
    from ray import tune

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    points = [{"seconds": value, "number": number} for number, value in enumerate(seconds)]
    tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"point": tune.grid_search(points)},
        tune_config=tune.TuneConfig(reuse_actors=reuse_actors),
        run_config=tune.RunConfig(name="run", storage_path=str(folder), verbose=0, **options),
    ).fit()


def optuna_processes(seconds: list[float], virtual_epochs: int, folder: Path) -> None:
    """Processes that share a study in a journal file, see Optuna's tutorial on parallelization."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=_journal(folder), study_name="overhead")
    for number, value in enumerate(seconds):
        study.enqueue_trial({"seconds": value, "number": number})
    context = multiprocessing.get_context("spawn")
    arguments = (sorted(set(seconds)), len(seconds), virtual_epochs, folder)
    processes = [context.Process(target=_optimize, args=arguments) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _journal(folder: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(folder / "journal.log")))


def _optimize(points: list[float], num_trials: int, virtual_epochs: int, folder: Path) -> None:
    import optuna
    from optuna.study import MaxTrialsCallback

    from benchmarks.overhead.work import PlainTrial

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        plain = PlainTrial(trial.suggest_categorical("seconds", points))
        trial.suggest_int("number", 0, num_trials - 1)
        loss = 0.0
        for number in range(virtual_epochs):
            loss = plain.virtual_epoch()
            plain.save(folder / f"{trial.number}_{number}.pt")
            trial.report(loss, number + 1)
        return loss

    study = optuna.load_study(storage=_journal(folder), study_name="overhead")
    # Running trials count too, or the last ones would be more than were asked for.
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING)
    study.optimize(objective, callbacks=[MaxTrialsCallback(num_trials, states=states)])


def syne_tune_local(seconds: list[float], virtual_epochs: int, folder: Path) -> None:
    """One process for each trial, see Syne Tune's getting started; it looks every 0.1 s, not 5 s."""
    os.environ["SYNETUNE_FOLDER"] = str(folder)
    from syne_tune import Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import choice
    from syne_tune.optimizer.baselines import RandomSearch

    logging.getLogger().setLevel(logging.ERROR)
    numbers = list(range(len(seconds)))
    scheduler = RandomSearch(
        {
            "number": choice(numbers),
            "seconds": choice(sorted(set(seconds))),
            "virtual_epochs": virtual_epochs,
        },
        metrics=["loss"],
        points_to_evaluate=[{"number": number, "seconds": value} for number, value in enumerate(seconds)],
    )
    Tuner(
        trial_backend=LocalBackend(entry_point=str(Path(__file__).with_name("syne_tune_trial.py"))),
        scheduler=scheduler,
        # Its own criterion stops after one more. Two that are begun at once may still be one more.
        stop_criterion=lambda status: status.num_trials_started >= len(seconds),
        wait_trial_completion_when_stopping=True,
        n_workers=WORKERS,
        sleep_time=0.1,
        save_tuner=False,
        callbacks=[],
    ).run()


CONTENDERS = {
    "tune-search": tune_search,
    "Ray Tune, function": ray_function,
    "Ray Tune, reused actors": ray_reused,
    "Optuna, processes": optuna_processes,
    "Syne Tune, local": syne_tune_local,
}


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    CONTENDERS[sys.argv[1]](given["seconds"], given["virtual_epochs"], Path(given["folder"]))
