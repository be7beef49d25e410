"""Population based training here, in Ray Tune, and asynchronous halving: equal compute, the same problem.

    python -m benchmarks.efficiency.pbt --seeds 8

prints a table and writes pbt.json beside it. Needs nothing but the program and Ray Tune.

The problem is a perceptron that is really trained on handwritten digits with noise, at a constant learning
rate; learning rate, weight decay and dropout are searched. Every method gets as many virtual epochs as the
population takes to its full length. All populations of a seed begin with the same values, and have the same
interval, quantile, factors and probability of drawing anew. Ray Tune trains two members at a time; this
program's searches run one trial at a time in this process, which for pbt gives the same trials as Ray does.
Given is the best accuracy that any trial reported, and the best among the last reports of each trial.
"""

from __future__ import annotations

import logging
import random
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.search.basic_variant import BasicVariantGenerator
from scipy.stats import t

from benchmarks.efficiency.recorded_data import PIXEL_NOISE, write_digits
from benchmarks.measuring import parser, print_table, write_results
from search.ray.session import RaySession
from search.run.search import search as run_search
from search.study.reading import read_records
from trainables.build import build_trainer, load_arrays
from trainables.classification.task import ClassificationTask

DATA = "noisy_digits.csv"
POPULATION, LENGTH, STEPS, INTERVAL = 8, 12, 20, 2
DOMAINS: dict[str, dict[str, list[float]]] = {
    "optimizer.lr": {"loguniform": [1e-4, 1e-1]},
    "optimizer.weight_decay": {"loguniform": [1e-6, 1e-1]},
    "model.dropout": {"uniform": [0.0, 0.5]},
}
FIXED: dict[str, Any] = {
    "model": {"name": "mlp", "width": 64, "depth": 2},
    "optimizer": {"name": "adamw"},
    "batch_size": 32,
}


def options_of(values: dict[str, Any], file: Path) -> dict[str, Any]:
    """The `trial:` section with these values or domains, by dotted names, and the data in this file."""
    options: dict[str, Any] = {"data": {"source": "csv", "path": str(file), "target": "digit"}}
    options |= {key: dict(value) if isinstance(value, dict) else value for key, value in FIXED.items()}
    for name, value in values.items():
        section, _, key = name.partition(".")
        options.setdefault(section, {})[key] = value
    return options


def first_values(seed: int) -> list[dict[str, float]]:
    """The values with which the population begins."""
    rng = random.Random(seed)

    def drawn(domain: dict[str, list[float]]) -> float:
        ((kind, (low, high)),) = domain.items()
        if kind == "uniform":
            return rng.uniform(low, high)
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    return [{name: drawn(domain) for name, domain in DOMAINS.items()} for _ in range(POPULATION)]


def config_of(seed: int, name: str, file: Path, **sections: Any) -> dict[str, Any]:
    """A search of this program."""
    return {
        "name": name,
        "task": "classification",
        "objective": {"metric": "accuracy", "mode": "max"},
        "trial": {**options_of(DOMAINS, file), "seed": seed},
        "virtual_epoch": {"steps": STEPS},
        "checkpoint": {"every": LENGTH},
        **sections,
    }


def own(seed: int, folder: Path, name: str) -> dict[str, float]:
    """Population based training of this program, or asha with its default sampler."""
    if name == "asha":
        budget = {"full_trainings": POPULATION, "max_virtual_epochs": LENGTH}
        sections: dict[str, Any] = {"budget": budget, "sampler": {"seed": seed}}
    else:
        points = first_values(seed)
        sections = {
            "budget": {"trials": POPULATION, "max_virtual_epochs": LENGTH},
            "sampler": {"name": "random", "seed": seed, "points_to_evaluate": points},
            "scheduler": {"name": "pbt", "interval": INTERVAL},
        }
    began = time.monotonic()
    summary = run_search(
        config_of(seed, f"{name}-{seed}", folder / DATA, **sections), results=folder, local=True
    )
    records = read_records(Path(summary.folder) / "study.journal")
    last = max(record.values[-1] for record in records if record.values)
    assert summary.best is not None
    epochs = float(summary.virtual_epochs)
    return {"best": summary.best.value, "last": last, "epochs": epochs, "s": time.monotonic() - began}


class Member(tune.Trainable):
    """A member of Ray Tune's population, as its documentation has it: state in a checkpoint, values anew."""

    def setup(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self.seed, self.trace = config["seed"], Path(config["trace"])
        self.values = {name: config[name] for name in DOMAINS}
        self._build()

    def _build(self) -> None:
        given = {**options_of(self.values, self.trace.parent / DATA), "seed": self.seed}
        options = ClassificationTask.Options.parse(given)
        if not hasattr(self, "arrays"):
            self.arrays = load_arrays(ClassificationTask, options)
        self.trainer = build_trainer(
            ClassificationTask,
            options,
            self.arrays,
            unit="steps",
            count=STEPS,
            num_virtual_epochs=LENGTH,
            device=torch.device("cpu"),
        )

    def step(self) -> dict[str, Any]:
        metrics = self.trainer.run_virtual_epoch()
        with self.trace.open("a", encoding="utf-8") as file:
            file.write(f"{self.trainer.counters.num_virtual_epochs} {metrics['accuracy']}\n")
        return {"accuracy": metrics["accuracy"]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        torch.save([self.trainer.weights(), self.trainer.state_dict()], f"{checkpoint_dir}/state.pt")

    def load_checkpoint(self, checkpoint_dir: str) -> None:  # type: ignore[override]
        weights, state = torch.load(f"{checkpoint_dir}/state.pt", weights_only=False)
        self.trainer.load(weights, state)
        for group in self.trainer.optimizer.param_groups:
            group["initial_lr"] = self.values["optimizer.lr"]
            group["weight_decay"] = group["weight_decay"] and self.values["optimizer.weight_decay"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True


def of_ray(seed: int, folder: Path, name: str) -> dict[str, float]:
    """Ray Tune's PopulationBasedTraining: `synch` waits for all, its default does not."""
    trace = folder / f"{name}-{seed}.txt"
    spaces = {
        key: (tune.loguniform if "loguniform" in domain else tune.uniform)(*next(iter(domain.values())))
        for key, domain in DOMAINS.items()
    }
    scheduler = PopulationBasedTraining(
        time_attr="training_iteration",
        perturbation_interval=INTERVAL,
        hyperparam_mutations=spaces,
        quantile_fraction=0.25,
        resample_probability=0.25,
        synch=name.endswith("synch"),
    )
    random.seed(seed)  # which Ray's explore draws from
    np.random.seed(seed)
    began = time.monotonic()
    tuner = tune.Tuner(
        tune.with_resources(Member, {"cpu": 1}),
        param_space={**spaces, "seed": seed, "trace": str(trace)},
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            num_samples=POPULATION,
            scheduler=scheduler,
            search_alg=BasicVariantGenerator(points_to_evaluate=first_values(seed), max_concurrent=0),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=f"{name}-{seed}",
            storage_path=str(folder),
            stop={"training_iteration": LENGTH},
            checkpoint_config=tune.CheckpointConfig(num_to_keep=4),
            verbose=0,
        ),
    )
    results = tuner.fit()
    lines = [line.split() for line in trace.read_text(encoding="utf-8").splitlines()]
    last = max(result.metrics["accuracy"] for result in results if result.metrics)
    best, deepest = max(float(value) for _, value in lines), max(int(depth) for depth, _ in lines)
    seconds = time.monotonic() - began
    return {"best": best, "last": last, "epochs": float(len(lines)), "deepest": float(deepest), "s": seconds}


METHODS = {"pbt": own, "Ray Tune PBT": of_ray, "Ray Tune PBT, synch": of_ray, "asha": own}


def main() -> None:
    options = parser(__doc__ or "", "python -m benchmarks.efficiency.pbt --seeds 8")
    options.add_argument("--seeds", type=int, default=8, help="number of seeds (default 8)")
    options.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    given = options.parse_args()
    logging.getLogger("ray").setLevel(logging.ERROR)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in given.methods}
    with tempfile.TemporaryDirectory() as folder:
        write_digits(Path(folder) / DATA, noise=PIXEL_NOISE)
        session = RaySession()
        session.wait_until_ready()
        for seed in range(given.seeds):
            for name in given.methods:
                found[name].append(METHODS[name](seed, Path(folder), name))
                print(seed, name, found[name][-1], flush=True)
            _write(found, given.out)
        session.close()
    columns = ["method", "best accuracy, mean ± 95 %", "worst", "best at the end", "virtual epochs"]
    rows = [[name, *_row(values)] for name, values in found.items()]
    print_table("Population based training at equal compute", columns, rows)


def _write(found: dict[str, list[dict[str, float]]], out: Path | None) -> None:
    """Everything so far."""
    seeds = min(map(len, found.values()))
    settings = {"seeds": seeds, "population": POPULATION, "virtual_epochs": LENGTH, "interval": INTERVAL}
    summary = {name: _row(values)[0] for name, values in found.items()}
    write_results(settings=settings, measurements=found, summary=summary, packages=["ray", "torch"], out=out)


def _row(values: list[dict[str, float]]) -> list[str]:
    best = [value["best"] for value in values]
    seeds = len(best)
    half = t.ppf(0.975, seeds - 1) * stdev(best) / seeds**0.5 if seeds > 1 else float("nan")
    last, epochs = mean(value["last"] for value in values), mean(value["epochs"] for value in values)
    return [f"{mean(best):.4f} ± {half:.4f}", f"{min(best):.4f}", f"{last:.4f}", f"{epochs:.0f}"]


if __name__ == "__main__":
    main()
