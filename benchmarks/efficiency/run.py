"""What searches find for what they cost, on surrogates of real learning curves.

    python -m benchmarks.efficiency.run                              everything that is not in the results yet
    python -m benchmarks.efficiency.run --methods tune-search --problems digits_mlp --seeds 0:12
    python -m benchmarks.efficiency.run --readings compute           or trials-24, trials-50, trials-100
    python -m benchmarks.efficiency.run --show                       the tables from the results alone
    python -m benchmarks.efficiency.run --held-out                   only at the end: see NOTES.md

A result depends on the recorded curves, the method, the reading and the seed alone, so runs can be split and
stopped at will; what is in efficiency.json beside it is not computed again (--again), unless more curves of
its problem have been recorded since.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.efficiency.markdown import print_markdown
from benchmarks.efficiency.problems import LENGTH, PROBLEMS, Problem
from benchmarks.efficiency.quality import Trace
from benchmarks.efficiency.recorded import FOLDER, Recorded, file_of
from benchmarks.efficiency.show import show
from benchmarks.efficiency.simulate import Method, simulate
from benchmarks.efficiency.surrogate import NotEnoughCurvesError, Surrogate

RESULTS = Path(__file__).with_name("efficiency.json")
BUDGETS = (2, 5, 10, 20, 30)
"""Full trainings."""
TRIALS = (24, 50, 100)
READINGS = ("compute", *(f"trials-{count}" for count in TRIALS))
NUM_WORKERS = 4
VARIANTS: dict[str, dict[str, Any]] = {
    "tune-search": {},
    "tune-search, random": {"sampler": {"name": "random"}},
    "tune-search, capped scores": {"sampler": {"scores": "capped"}},
    "tune-search, kernels by gaps": {"sampler": {"kernels": "gaps"}},
    "tune-search, grace_period 1": {"scheduler": {"grace_period": 1}},
}
"""Sections of a tune-search configuration; what is left out is the default."""
OPTUNA = {
    "random, full length": ("random", "none"),
    "Optuna TPE + successive halving": ("tpe", "halving"),
    "Optuna TPE + Hyperband": ("tpe", "hyperband"),
    "Optuna TPE + median": ("tpe", "median"),
}
RAY = {"random + Ray ASHA": "random", "Ray OptunaSearch + ASHA": "tpe"}
Job = tuple[str, str, str, int]
"""Method, problem, reading and seed."""


def method_names() -> list[str]:
    return [*list(VARIANTS)[:2], *OPTUNA, *RAY, *(name for module in _peers() for name in module.NAMES)]


def _peers() -> list[Any]:
    """The modules of libraries that need the environment of `make bench`, where they are installed."""
    names = ("syne_tune", "neps")
    return [
        importlib.import_module(f"benchmarks.efficiency.methods_{name}")
        for name in names
        if importlib.util.find_spec(name)
    ]


def search(name: str, surrogate: Surrogate, reading: str, seed: int, folder: Path) -> Trace:
    """One search of that method."""
    settings: dict[str, Any] = {"seed": seed, "num_workers": NUM_WORKERS}
    if reading == "compute":
        settings["budget"] = max(BUDGETS) * LENGTH
    else:
        settings["max_trials"] = int(reading.removeprefix("trials-"))
    if name not in VARIANTS:
        return simulate(surrogate, make(name, surrogate.problem, seed), **settings)
    from benchmarks.efficiency.methods_own import simulate_own

    return simulate_own(surrogate, folder, sections=VARIANTS[name], **settings)[0]


def make(name: str, problem: Problem, seed: int) -> Method:
    """The method of that name, new."""
    if name in OPTUNA or name in RAY:
        return _optuna_or_ray(name, problem, seed)
    module = next(module for module in _peers() if name in module.NAMES)
    return module.method(name, problem, seed=seed)


def _optuna_or_ray(name: str, problem: Problem, seed: int) -> Method:
    import optuna

    from benchmarks.efficiency.methods_optuna import REDUCTION_FACTOR, OptunaStudy, ray_tune

    samplers: dict[str, Callable[[], Any]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        # A conditional space needs group.
        "tpe": lambda: optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, constant_liar=True
        ),
    }
    if name in RAY:
        return ray_tune(problem, samplers[RAY[name]](), asha=True)
    pruners: dict[str, Callable[[], Any]] = {
        "none": optuna.pruners.NopPruner,
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(1, REDUCTION_FACTOR),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(1, LENGTH, REDUCTION_FACTOR),
        "median": optuna.pruners.MedianPruner,
    }
    sampler, pruner = OPTUNA[name]
    return OptunaStudy(problem, samplers[sampler](), pruners[pruner]())


@cache
def _surrogate(name: str, folder: str) -> Surrogate:
    return Surrogate(PROBLEMS[name], Recorded.load(PROBLEMS[name], Path(folder)))


_snapshot = ""


def run(job: Job) -> tuple[Job, dict[str, Any]]:
    """One simulated search: the regret at each budget, or at its end with what it has cost."""
    name, problem, reading, seed = job
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    surrogate, began = _surrogate(problem, _snapshot), time.process_time()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        trace = search(name, surrogate, reading, seed, Path(folder))
    ends = [budget * LENGTH for budget in BUDGETS] if reading == "compute" else [trace.cost]
    values = [trace.at(end) for end in ends]
    regrets = [surrogate.regret(surrogate.median if value is None else value) for value in values]
    return job, {
        "regret": [round(regret, 3) for regret in regrets],
        "full_trainings": round(trace.cost / LENGTH, 2),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run_all(jobs: Iterable[Job], stored: dict[str, Any], processes: int, snapshot: Path) -> None:
    """Fill what is stored and the file, which is written now and then."""
    jobs = list(jobs)
    context = multiprocessing.get_context("spawn")
    try:
        with context.Pool(processes, _begin, (str(snapshot),)) as pool:
            saved = time.monotonic()
            for job, result in track(pool.imap_unordered(run, jobs), "simulating", total=len(jobs)):
                name, problem, reading, seed = job
                by_method = stored["results"].setdefault(problem, {}).setdefault(name, {})
                by_method.setdefault(reading, {})[str(seed)] = result
                if time.monotonic() - saved > 20:
                    save(stored)
                    saved = time.monotonic()
    finally:
        save(stored)


def _begin(snapshot: str) -> None:
    global _snapshot  # of a worker process
    _snapshot = snapshot
    os.nice(max(0, 15 - os.nice(0)))
    import torch

    torch.set_num_threads(1)


def load() -> dict[str, Any]:
    """What is stored: `results` by problem, method, reading and seed, and of each problem the `curves`."""
    if not RESULTS.exists():
        return {"curves": {}, "results": {}}
    stored: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return stored


def save(stored: dict[str, Any]) -> None:
    new = RESULTS.with_suffix(".new")
    settings = {"workers": NUM_WORKERS, "virtual_epochs": LENGTH, "budgets": BUDGETS, "trials": TRIALS}
    new.write_text(json.dumps({**stored, "settings": settings}, sort_keys=True) + "\n", encoding="utf-8")
    new.replace(RESULTS)


def drop_outdated(stored: dict[str, Any], names: Iterable[str], folder: Path) -> None:
    """Forget results that rest on other curves than those that are recorded now, and say so."""
    for name in names:
        content = file_of(PROBLEMS[name], folder).read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        if stored["results"].get(name) and stored["curves"].get(name) != digest:
            print(f"{name}: its curves are others than those of the results, which are dropped")
            del stored["results"][name]
        stored["curves"][name] = digest


def usable(names: Iterable[str], folder: Path) -> list[str]:
    """The problems of which enough is recorded in the folder; of the others it is said what they lack."""
    found = []
    for name in names:
        try:
            print(_surrogate(name, str(folder)).describe(), flush=True)
        except NotEnoughCurvesError as error:
            print(f"left out: {error}", flush=True)
        else:
            found.append(name)
    return found


def take_snapshot(names: Iterable[str], folder: Path) -> None:
    """Copy the recorded curves, as a recording may be going on."""
    for name in names:
        file = file_of(PROBLEMS[name], FOLDER)
        if file.exists():
            shutil.copy(file, folder)


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), help="default: all not held out")
    parser.add_argument("--readings", nargs="+", choices=READINGS, default=list(READINGS))
    parser.add_argument("--seeds", type=_range, default=range(30), help="such as 0:30")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--again", action="store_true", help="compute anew what is there")
    parser.add_argument("--held-out", action="store_true", help="look at the problems that are held out too")
    parser.add_argument("--show", action="store_true", help="compute nothing")
    parser.add_argument(
        "--markdown", action="store_true", help="compute nothing; the table of docs/benchmarks.md"
    )
    args = parser.parse_args()
    known = [*VARIANTS, *method_names()]
    if unknown := [name for name in args.methods or () if name not in known]:
        parser.error(f"unknown method {unknown[0]}; must be among {', '.join(dict.fromkeys(known))}")
    if hidden := [n for n in args.problems or () if PROBLEMS[n].held_out and not args.held_out]:
        parser.error(f"{hidden[0]} is held out: nothing may be chosen by it; --held-out looks all the same")
    names = args.problems or [n for n, p in PROBLEMS.items() if args.held_out or not p.held_out]
    stored = load()
    if args.markdown:
        print_markdown(stored["results"], names, set(args.seeds), BUDGETS)
        return
    if not args.show:
        with tempfile.TemporaryDirectory() as folder:
            take_snapshot(names, Path(folder))
            names = usable(names, Path(folder))
            drop_outdated(stored, names, Path(folder))
            jobs = [
                (name, problem, reading, seed)
                for seed in args.seeds
                for problem in names
                for reading in args.readings
                for name in args.methods or method_names()
                if args.again
                or str(seed) not in stored["results"].get(problem, {}).get(name, {}).get(reading, {})
            ]
            run_all(jobs, stored, args.processes, Path(folder))
    show(stored["results"], names, set(args.seeds), readings=args.readings, budgets=BUDGETS)


if __name__ == "__main__":
    main()
