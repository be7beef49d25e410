"""Train random configurations of the problems to full length and record their learning curves.

    python -m benchmarks.efficiency.record_curves                          what is not recorded yet
    python -m benchmarks.efficiency.record_curves digits_mlp --until 400   at most 400 random configurations

It can be stopped at will: what has ended is saved twice a minute, and the next call goes on from there. Each
configuration is one trial of this project's own trainer, on one thread of the CPU, with `trial.seed` 0. After
the first 200, forty of these are trained again with four other seeds, which shows how noisy a curve is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import torch

from benchmarks.efficiency.problems import LENGTH, PROBLEMS, Problem
from benchmarks.efficiency.recorded import (
    NUM_BEFORE_REPEATS,
    Kind,
    Recorded,
    repeated_rows,
    repeats_in_order,
)
from benchmarks.efficiency.recorded_data import write_all
from search.config.tasks import BUILT_IN
from trainables.build import build_trainer, load_arrays
from trainables.session import load_task_class
from trainables.training.progress import DivergedError

SAVE_EVERY = 30.0
"""Seconds."""


def draw(problem: Problem, count: int) -> list[dict[str, Any]]:
    """The first `count` of the random configurations, which are the same at each call."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [problem.space.suggest(study.ask()).params for _ in range(count)]


class Recorder:
    """Trains configurations of one problem in one process; the data is decoded once."""

    def __init__(self, name: str) -> None:
        torch.set_num_threads(1)
        self._problem = PROBLEMS[name]
        self._task = load_task_class(BUILT_IN[self._problem.task])
        self._arrays: Any = None

    def curve(self, params: dict[str, Any], seed: int) -> list[float]:
        """The metric of each virtual epoch; NaN from where the training diverged."""
        problem = self._problem
        options = self._task.Options.model_validate({**problem.space.resolve(params).options, "seed": seed})
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
                values.append(float(trainer.run_virtual_epoch()[problem.metric]))
        except DivergedError:
            pass
        return values + [float("nan")] * (LENGTH - len(values))


_recorder: Recorder | None = None


def _begin(name: str, folder: str) -> None:
    global _recorder  # of a worker process
    os.nice(19)
    os.chdir(folder)
    _recorder = Recorder(name)


def _curve(job: tuple[dict[str, Any], Kind, int]) -> list[float]:
    assert _recorder is not None
    params, _, seed = job
    return _recorder.curve(params, seed)


def missing(problem: Problem, recorded: Recorded, until: int) -> list[tuple[dict[str, Any], Kind, int]]:
    """What is to be trained next: parameters, kind and seed. Repeats come only after what they repeat.

    Raises:
        ValueError: the file is of another space than the problem's.
    """
    until = max(min(until, problem.num_random), NUM_BEFORE_REPEATS)
    count = recorded.count(Kind.RANDOM)
    params = draw(problem, max(until, count))
    if [recorded.params[row] for row in recorded.rows(Kind.RANDOM)] != params[:count]:
        raise ValueError(
            f"{problem.name}: the recorded configurations are not the first that its space draws, so the "
            "space has changed since; delete the file to record it anew"
        )
    if count < NUM_BEFORE_REPEATS:
        return [(item, Kind.RANDOM, 0) for item in params[count:NUM_BEFORE_REPEATS]]
    repeats = repeats_in_order(repeated_rows(recorded, problem))[recorded.count(Kind.REPEAT) :]
    again = [(recorded.params[row], Kind.REPEAT, seed) for row, seed in repeats]
    return again + [(item, Kind.RANDOM, 0) for item in params[count:until]]


def record(problem: Problem, *, until: int, processes: int) -> None:
    """Train what is missing, and save what has ended now and then."""
    recorded = Recorded.load(problem)
    context = multiprocessing.get_context("spawn")
    with TemporaryDirectory() as folder:
        write_all(Path(folder))
        while jobs := missing(problem, recorded, until):
            with context.Pool(processes, _begin, (problem.name, folder)) as pool:
                for newer in _trained(problem, recorded, jobs, pool.imap(_curve, jobs)):
                    newer.save(problem)
                recorded = newer
    print(f"{problem.name}: {len(recorded.params)} curves", flush=True)


def _trained(
    problem: Problem, recorded: Recorded, jobs: list[Any], curves: Iterator[list[float]]
) -> Iterator[Recorded]:
    """What is recorded, each time that it should be saved."""
    began = saved = time.monotonic()
    for number, ((params, kind, seed), curve) in enumerate(zip(jobs, curves, strict=True), 1):
        recorded = recorded.with_curve(params, curve, kind, seed)
        now = time.monotonic()
        if now - saved > SAVE_EVERY or number == len(jobs):
            saved = now
            print(f"{problem.name}: {number} of {len(jobs)}, {(now - began) / number:.2f} s each", flush=True)
            yield recorded


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problems", nargs="*", metavar="NAME", help=f"of {', '.join(PROBLEMS)}; default all")
    parser.add_argument("--until", type=int, default=10**6, help="random configurations of each at most")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="default: one per core")
    args = parser.parse_args()
    unknown = sorted(set(args.problems) - set(PROBLEMS))
    if unknown:
        parser.error(f"unknown problem {', '.join(unknown)}; must be among {', '.join(PROBLEMS)}")
    for name in args.problems or PROBLEMS:
        record(PROBLEMS[name], until=args.until, processes=args.processes)


if __name__ == "__main__":
    main()
