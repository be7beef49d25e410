"""Train every configuration of the tables to full length and record its learning curve.

    python -m benchmarks.efficiency.record_curves                       what is not recorded yet, on all cores
    python -m benchmarks.efficiency.record_curves digits_mlp --again

Half of the configurations are drawn at random (seed 0), half near the best tenth of these. Each is one trial
of this project's own trainer, on one thread of the CPU; the files come out alike where floating point does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import optuna
import pandas as pd
import torch
from rich.progress import track
from sklearn.datasets import load_digits

from benchmarks.efficiency.curve_tables import FOLDER, LENGTH, PROBLEMS, Problem, bounded
from benchmarks.efficiency.encoding import SpaceEncoding
from search.config.tasks import BUILT_IN
from search.space.parse import parse_space
from trainables.build import build_trainer, load_arrays
from trainables.progress import DivergedError
from trainables.session import load_task_class


def draw(problem: Problem) -> list[dict[str, Any]]:
    """The parameters of the configurations that are drawn at random."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    space = parse_space(problem.trial)
    return [space.suggest(study.ask()).params for _ in range(problem.num_random)]


def draw_near(
    problem: Problem, params: list[dict[str, Any]], curves: list[list[float]]
) -> list[dict[str, Any]]:
    """As many again, each near one of the best tenth: steps of a tenth of a range, one choice in six anew."""
    encoding, rng = SpaceEncoding(parse_space(problem.trial)), np.random.default_rng(0)
    values = bounded(np.asarray(curves), problem)
    best = values.max(1) if problem.mode == "max" else -values.min(1)
    rows = [encoding.row(params[place]) for place in np.argsort(-best)[: len(params) // 10]]
    picked = [rows[place % len(rows)] for place in range(len(params))]
    near = [encoding.neighbours(row, rng, 1, deviation=0.1, switch=1 / 6)[0] for row in picked]
    return [encoding.params(row) for row in near]


def write_digits(file: Path) -> None:
    """scikit-learn's handwritten digits as a table: a column for each of the 64 pixels, and the digit."""
    digits = load_digits()
    columns = [f"pixel_{number}" for number in range(digits.data.shape[1])]
    pd.DataFrame(digits.data, columns=columns).assign(digit=digits.target).to_csv(file, index=False)


class _Recorder:
    """Trains configurations of one problem in one process; the data is decoded once."""

    def __init__(self, name: str) -> None:
        torch.set_num_threads(1)
        self._problem = PROBLEMS[name]
        self._space = parse_space(self._problem.trial)
        self._task = load_task_class(BUILT_IN[self._problem.task])
        self._arrays: Any = None

    def curve(self, params: dict[str, Any]) -> list[float]:
        """The metric of each virtual epoch; NaN from where the training diverged."""
        problem, options = (
            self._problem,
            self._task.Options.model_validate(self._space.resolve(params).options),
        )
        if self._arrays is None:
            self._arrays = load_arrays(self._task, options)
        trainer = build_trainer(
            self._task,
            options,
            self._arrays,
            unit="steps",
            count=problem.steps,
            num_virtual_epochs=LENGTH,
            device=torch.device("cpu"),
        )
        values: list[float] = []
        try:
            for _ in range(LENGTH):
                values.append(trainer.run_virtual_epoch()[problem.metric])
        except DivergedError:
            pass
        return values + [float("nan")] * (LENGTH - len(values))


_recorder: _Recorder | None = None


def _begin(name: str, folder: str) -> None:
    global _recorder  # of a worker process
    os.chdir(folder)
    _recorder = _Recorder(name)


def _curve(params: dict[str, Any]) -> list[float]:
    assert _recorder is not None
    return _recorder.curve(params)


def record(problem: Problem) -> None:
    params = draw(problem)
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder:
        write_digits(Path(folder) / "digits.csv")
        with context.Pool(os.cpu_count(), _begin, (problem.name, folder)) as pool:
            curves = list(track(pool.imap(_curve, params), problem.name, total=len(params)))
            near = draw_near(problem, params, curves)
            curves += track(pool.imap(_curve, near), f"{problem.name}, near the best", total=len(near))
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(
        problem.file, params=np.asarray(json.dumps(params + near)), values=np.asarray(curves, np.float32)
    )
    print(f"{problem.file}: {len(curves)} curves, {problem.file.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(PROBLEMS)}; default all")
    parser.add_argument("--again", action="store_true", help="also those that are recorded already")
    args = parser.parse_args()
    for name in args.tables or PROBLEMS:
        if args.again or not PROBLEMS[name].file.exists():
            record(PROBLEMS[name])


if __name__ == "__main__":
    main()
