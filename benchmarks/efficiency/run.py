"""Quality of the best trial against training spent, on recorded learning curves.

    python -m benchmarks.efficiency.run                              everything that is not in the results yet
    python -m benchmarks.efficiency.run --methods tune-search random --tables digits_mlp --seeds 0:10
    python -m benchmarks.efficiency.run --show                       the tables from the results alone

A result depends on the table, the method and the seed alone, so runs can be split and stopped at will; what
is in run.json beside it is not computed again (--again).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.efficiency.curve_tables import LENGTH, PROBLEMS, Table
from benchmarks.efficiency.simulate import Method, Trace, simulate

RESULTS = Path(__file__).with_suffix(".json")
BUDGETS = (2, 5, 10, 20, 30)
"""Full trainings."""
NUM_WORKERS = 4
CLOSE = 2.0
"""Regret in percent that counts as close to the best."""
DEFAULT = "tune-search"
VARIANTS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "tune-search, random": {"sampler": {"name": "random"}},
}
"""Sections of a tune-search configuration; what is left out is the default."""
OPTUNA = {
    "random, full length": ("random", "none"),
    "Optuna TPE + successive halving": ("tpe", "halving"),
    "Optuna TPE + Hyperband": ("tpe", "hyperband"),
    "Optuna TPE + median": ("tpe", "median"),
}
RAY = {"random + Ray ASHA": "random", "Ray OptunaSearch + ASHA": "tpe"}


def method_names() -> list[str]:
    return [*VARIANTS, *OPTUNA, *RAY, *(name for module in _peers() for name in module.NAMES)]


def _peers() -> list[Any]:
    """The modules of libraries that need the environment of `make bench`, where they are installed."""
    names = ("syne_tune", "neps")
    return [
        importlib.import_module(f"benchmarks.efficiency.methods_{name}")
        for name in names
        if importlib.util.find_spec(name)
    ]


def search(name: str, table: Table, seed: int, folder: Path) -> Trace:
    """One search of that method."""
    settings: dict[str, Any] = {"budget": max(BUDGETS) * LENGTH, "seed": seed, "num_workers": NUM_WORKERS}
    if name not in VARIANTS:
        return simulate(table, make(name, table, seed), **settings)
    from benchmarks.efficiency.methods_own import simulate_own

    return simulate_own(table, folder, sections=VARIANTS[name], **settings)[0]


def make(name: str, table: Table, seed: int) -> Method:
    """The method of that name, new."""
    if name in OPTUNA or name in RAY:
        return _optuna_or_ray(name, table, seed)
    module = next(module for module in _peers() if name in module.NAMES)
    return module.method(name, table, seed=seed)


def _optuna_or_ray(name: str, table: Table, seed: int) -> Method:
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
        return ray_tune(table, samplers[RAY[name]](), asha=True)
    pruners: dict[str, Callable[[], Any]] = {
        "none": optuna.pruners.NopPruner,
        "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(1, REDUCTION_FACTOR),
        "hyperband": lambda: optuna.pruners.HyperbandPruner(1, LENGTH, REDUCTION_FACTOR),
        "median": optuna.pruners.MedianPruner,
    }
    sampler, pruner = OPTUNA[name]
    return OptunaStudy(table, samplers[sampler](), pruners[pruner]())


@cache
def _table(name: str) -> Table:
    return Table(PROBLEMS[name])


def run(job: tuple[str, str, int]) -> tuple[tuple[str, str, int], dict[str, Any]]:
    """One simulated search: regret at each budget, and virtual epochs until close to the best."""
    name, table_name, seed = job
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    table, began = _table(table_name), time.process_time()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        trace = search(name, table, seed, Path(folder))
    regrets = [table.regret(trace.best_at(budget * LENGTH) or table.median) for budget in BUDGETS]
    close = next((c for c, b in zip(trace.costs, trace.bests, strict=True) if table.regret(b) <= CLOSE), None)
    return job, {
        "regret": [round(regret, 3) for regret in regrets],
        "close_at": close,
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run_all(jobs: Iterable[tuple[str, str, int]], results: dict[str, Any], num_processes: int) -> None:
    """Fill `results` and the file, which is written now and then."""
    jobs = list(jobs)
    context = multiprocessing.get_context("spawn")
    with context.Pool(num_processes, _begin, maxtasksperchild=100) as pool:
        saved = time.monotonic()
        for job, result in track(pool.imap_unordered(run, jobs), "simulating", total=len(jobs)):
            name, table, seed = job
            results.setdefault(table, {}).setdefault(name, {})[str(seed)] = result
            if time.monotonic() - saved > 20:
                save(results)
                saved = time.monotonic()
    save(results)


def _begin() -> None:
    os.nice(15)
    import torch

    torch.set_num_threads(1)


def load() -> dict[str, Any]:
    return json.loads(RESULTS.read_text(encoding="utf-8"))["results"] if RESULTS.exists() else {}


def save(results: dict[str, Any]) -> None:
    new = RESULTS.with_suffix(".new")
    settings = {"workers": NUM_WORKERS, "virtual_epochs": LENGTH, "budgets": BUDGETS, "close": CLOSE}
    new.write_text(json.dumps({"settings": settings, "results": results}, sort_keys=True), encoding="utf-8")
    new.replace(RESULTS)


def mean_interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % confidence interval (normal)."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    return float(np.mean(values)), float(1.96 * np.std(values, ddof=1) / np.sqrt(len(values)))


def show(results: dict[str, Any], tables: list[str], seeds: set[int]) -> None:
    """Print one table per problem, and how the default stands to those of others."""
    for table in tables:
        rows = {name: _of(by_seed, seeds) for name, by_seed in results.get(table, {}).items()}
        rows = {name: chosen for name, chosen in rows.items() if chosen}
        if not rows:
            continue
        aside = ", nothing was tuned on it" if PROBLEMS[table].held_out else ""
        print(
            f"\n{table}{aside}: regret in % after full trainings, and full trainings to {CLOSE:g} %, ± 95 %"
        )
        print(
            f"{'method':34}{'seeds':>6}"
            + "".join(f"{b:>15}" for b in BUDGETS)
            + f"{'to 2 %':>15}{'missed':>8}"
        )
        for name in sorted(rows, key=lambda name: mean_interval(_trainings(rows[name]))[0]):
            cells = [
                mean_interval([item["regret"][place] for item in rows[name]]) for place in range(len(BUDGETS))
            ]
            cells.append(mean_interval(_trainings(rows[name])))
            missed = sum(item["close_at"] is None for item in rows[name])
            texts = "".join(f"{mean:8.1f} ±{half:5.1f}" for mean, half in cells)
            print(f"{name:34}{len(rows[name]):>6}{texts}{missed:>8}")
        if DEFAULT in rows:
            print(verdict(rows))


def verdict(rows: dict[str, list[dict[str, Any]]]) -> str:
    """The default against the best of the peers, which is another one for each budget."""
    peers = [name for name in rows if name not in VARIANTS]
    if not peers:
        return ""
    parts = []
    for place, budget in enumerate(BUDGETS):
        own = mean_interval([item["regret"][place] for item in rows[DEFAULT]])
        others = {n: mean_interval([item["regret"][place] for item in rows[n]]) for n in peers}
        best = min(others, key=lambda name: others[name][0])
        if own[0] <= others[best][0]:
            word = "best"
        else:
            word = "within" if own[0] - own[1] <= others[best][0] + others[best][1] else f"behind {best}"
        parts.append(f"{budget}: {word}")
    best = min(peers, key=lambda name: np.mean(_trainings(rows[name])))
    ratio, low, high = ratio_interval(_trainings(rows[DEFAULT]), _trainings(rows[best]))
    return f"{', '.join(parts)}; to 2 % in {ratio:.2f} ({low:.2f} to {high:.2f}) of the steps of {best}"


def ratio_interval(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Ratio of the means, and its 95 % interval by bootstrap."""
    rng = np.random.default_rng(0)
    means = [rng.choice(values, (2000, len(values))).mean(1) for values in (ours, theirs)]
    low, high = np.quantile(means[0] / means[1], (0.025, 0.975))
    return float(np.mean(ours) / np.mean(theirs)), float(low), float(high)


def _trainings(items: list[dict[str, Any]]) -> list[float]:
    """Full trainings until close to the best; a search that never was counts as all of its budget."""
    return [(item["close_at"] or max(BUDGETS) * LENGTH) / LENGTH for item in items]


def _of(by_seed: dict[str, Any], seeds: set[int]) -> list[dict[str, Any]]:
    return [item for seed, item in by_seed.items() if int(seed) in seeds]


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--tables", nargs="+", choices=list(PROBLEMS), default=list(PROBLEMS))
    parser.add_argument("--seeds", type=_range, default=range(30), help="such as 0:30")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--again", action="store_true", help="compute anew what is there")
    parser.add_argument("--show", action="store_true", help="compute nothing")
    args = parser.parse_args()
    results = load()
    if not args.show:
        jobs = [
            (name, table, seed)
            for seed in args.seeds
            for table in args.tables
            for name in args.methods or method_names()
            if args.again or str(seed) not in results.get(table, {}).get(name, {})
        ]
        run_all(jobs, results, args.processes)
    show(results, args.tables, set(args.seeds))


if __name__ == "__main__":
    main()
