"""Fronts of two objectives that searches find for equal compute, on surrogates of real learning curves.

    python -m benchmarks.efficiency.fronts                           everything that is not in the results yet
    python -m benchmarks.efficiency.fronts --methods tune-search --problems digits_mlp
    python -m benchmarks.efficiency.fronts --show                    the tables from the results alone

Each problem's metric is traded against what its model costs, which is measured on the real model. A front is
worth the hypervolume that it dominates, as a share of that of the best known front; hypervolume.py has the
reference point and the scales. Trials are chosen by what they report, and valued without noise.

A result depends on the recorded curves, the method and the seed alone, so runs can be split and stopped at
will; what is in fronts.json is not computed again, unless more of its problem has been recorded since.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.efficiency.costs import Costs
from benchmarks.efficiency.hypervolume import Scale, best_known, front_after, scale_of
from benchmarks.efficiency.methods_fronts import OPTUNA, SYNE_TUNE, method
from benchmarks.efficiency.problems import LENGTH, PROBLEMS
from benchmarks.efficiency.quality import Spread, Trace
from benchmarks.efficiency.recorded import file_of
from benchmarks.efficiency.simulate import simulate
from benchmarks.efficiency.surrogate import Surrogate
from benchmarks.measuring import print_table

RESULTS = Path(__file__).with_suffix(".json")
QUANTITIES = {"digits_mlp": "parameters", "digits_segmentation": "flops"}
"""What is minimized beside the metric of each problem."""
BUDGETS = (2, 5, 10, 20, 30)
"""Full trainings."""
NUM_WORKERS = 4
VARIANTS: dict[str, dict[str, Any]] = {
    "tune-search": {},
    "tune-search, random": {"sampler": {"name": "random"}},
}
"""Sections of a tune-search configuration beside `objectives`; what is left out is the default."""
Job = tuple[str, str, int]
"""Method, problem and seed."""


def method_names() -> list[str]:
    return [*VARIANTS, *OPTUNA, *(SYNE_TUNE if importlib.util.find_spec("syne_tune") else ())]


@cache
def _problem(name: str) -> tuple[Surrogate, Costs]:
    return Surrogate(PROBLEMS[name]), Costs(PROBLEMS[name], QUANTITIES[name])


def search(name: str, surrogate: Surrogate, costs: Costs, seed: int, budget: int) -> Trace:
    """One search of that method, until its trials have trained `budget` virtual epochs."""
    settings: dict[str, Any] = {"seed": seed, "num_workers": NUM_WORKERS, "budget": budget}
    if name not in VARIANTS:
        return simulate(surrogate, method(name, surrogate.problem, seed, costs), **settings)
    from benchmarks.efficiency.methods_own import simulate_own

    first = {"metric": surrogate.problem.metric, "mode": surrogate.problem.mode}
    objectives = [first, {"metric": costs.quantity, "mode": "min"}]
    sections = {"objective": None, "objectives": objectives, **VARIANTS[name]}
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        return simulate_own(
            surrogate,
            Path(folder),
            sections=sections,
            measured=lambda params: {costs.quantity: costs(params)},
            **settings,
        )[0]


def shares(trace: Trace, costs: Costs, scale: Scale, best: float, sign: float) -> list[float]:
    """The hypervolume at each budget in percent of the best known."""
    fronts = [
        front_after(trace, budget * LENGTH, sign, lambda trial: costs(trace.params[trial]))
        for budget in BUDGETS
    ]
    return [round(100 * scale.hypervolume(front) / best, 3) for front in fronts]


def run(job: tuple[Job, list[list[float]]]) -> tuple[Job, dict[str, Any]]:
    """One simulated search; the job comes with the best known front of its problem."""
    (name, problem, seed), known = job
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    (surrogate, costs), began = _problem(problem), time.process_time()
    points = [(value, cost) for value, cost in known]
    scale = scale_of(surrogate, points)
    trace = search(name, surrogate, costs, seed, max(BUDGETS) * LENGTH)
    found = shares(trace, costs, scale, scale.hypervolume(points), surrogate.sign)
    num_trials, seconds = len(trace.params), round(time.process_time() - began, 1)
    return job[0], {"share": found, "trials": num_trials, "cpu_seconds": seconds}


def run_all(jobs: Sequence[Job], stored: dict[str, Any], processes: int) -> None:
    """Fill what is stored and the file, which is written now and then."""
    given = [(job, stored[job[1]]["best"]) for job in jobs]
    saved = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes, _begin) as pool:
        for job, result in track(pool.imap_unordered(run, given), "simulating", total=len(jobs)):
            name, problem, seed = job
            stored[problem]["results"].setdefault(name, {})[str(seed)] = result
            if time.monotonic() - saved > 20:
                save(stored)
                saved = time.monotonic()
    save(stored)


def _begin() -> None:
    os.nice(max(0, 15 - os.nice(0)))
    import torch

    torch.set_num_threads(1)


def load() -> dict[str, Any]:
    """By problem: the digest of its curves, the best known front, and results by method and seed."""
    stored: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return stored


def save(stored: Mapping[str, Any]) -> None:
    new = RESULTS.with_suffix(".new")
    new.write_text(json.dumps(stored, sort_keys=True) + "\n", encoding="utf-8")
    new.replace(RESULTS)


def prepare(name: str, stored: dict[str, Any]) -> None:
    """Find the best known front of the problem, unless it and the results are of these curves."""
    digest = hashlib.sha256(file_of(PROBLEMS[name]).read_bytes()).hexdigest()[:16]
    if stored.get(name, {}).get("curves") == digest:
        return
    if name in stored:
        print(f"{name}: its curves are others than those of the results, which are dropped")
    surrogate, costs = _problem(name)
    print(f"{surrogate.describe()}\nlooking for the best front", flush=True)
    stored[name] = {"curves": digest, "best": best_known(surrogate, costs), "results": {}}
    stored[name]["reference"] = surrogate.median
    save(stored)


def show(stored: Mapping[str, Any], problems: Sequence[str], seeds: Sequence[int]) -> None:
    """Print a table per problem: the share of the best hypervolume at each budget."""
    for name in problems:
        if name not in stored:
            continue
        of_problem, problem = stored[name], PROBLEMS[name]
        front = ", ".join(f"{value:.4g} at {cost:.3g}" for value, cost in of_problem["best"])
        print(f"\n{name}: best known {problem.metric} at each number of {QUANTITIES[name]}: {front}")
        rows = []
        for of_method, by_seed in of_problem["results"].items():
            items = [item for seed, item in by_seed.items() if int(seed) in seeds]
            if items:
                spreads = [Spread.of(column) for column in zip(*(i["share"] for i in items), strict=True)]
                rows.append((spreads[-1].mean, [of_method, len(items), *map(_text, spreads)]))
        title = f"{name}: {problem.metric} and {QUANTITIES[name]}, hypervolume in % of the best known front's"
        title += " after full trainings: mean ± 95 %, then median, lower quartile and worst"
        rows.sort(key=lambda row: -row[0])
        print_table(title, ["method", "seeds", *map(str, BUDGETS)], [row for _, row in rows])


def _text(spread: Spread) -> str:
    return (
        f"{spread.mean:.1f} ± {spread.half:.1f} | {spread.median:.1f} {spread.lower:.1f} {spread.least:.1f}"
    )


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=method_names(), metavar="NAME", help="default: all")
    parser.add_argument("--problems", nargs="+", choices=list(QUANTITIES), default=list(QUANTITIES))
    parser.add_argument("--seeds", type=_range, default=range(30), help="such as 0:10 (default 0:30)")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--again", action="store_true", help="compute anew what is there")
    parser.add_argument("--show", action="store_true", help="compute nothing")
    args = parser.parse_args()
    stored = load()
    if not args.show:
        for name in args.problems:
            prepare(name, stored)
        jobs = [
            (name, problem, seed)
            for seed in args.seeds
            for problem in args.problems
            for name in args.methods or method_names()
            if args.again or str(seed) not in stored[problem]["results"].get(name, {})
        ]
        run_all(jobs, stored, args.processes)
    show(stored, args.problems, args.seeds)


if __name__ == "__main__":
    main()
