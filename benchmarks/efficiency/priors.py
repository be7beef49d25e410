"""What priors of a person gain and cost: good, medium and wrong ones against none, on surrogates.

    python -m benchmarks.efficiency.priors                  three problems, 10 seeds
    python -m benchmarks.efficiency.priors --show           the tables from the results alone
    python -m benchmarks.efficiency.priors --methods neps   NePS alone, which `make bench` installs

A prior is a recorded configuration, another one for each seed: `good` is drawn from the best tenth of those
that were drawn at random, `medium` from the half around the median, `wrong` from the worst quarter. Ranges
and choices have their value in it as prior; the ranges that it has not, as of the other optimizer, have none.
`recipe` is `priors: segmentation`; NePS has the same priors, of medium confidence.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.efficiency.problems import LENGTH, PROBLEMS, Problem
from benchmarks.efficiency.quality import Spread
from benchmarks.efficiency.recorded import Kind, Recorded, bounded
from benchmarks.efficiency.surrogate import Surrogate
from search.config.document import Document
from search.config.given_priors import Source
from search.config.given_priors import with_priors as with_sources
from search.config.sections.recipes import RECIPES

RESULTS = Path(__file__).with_suffix(".json")
CHOSEN = ("digits_mlp", "digits_segmentation", "diabetes_mlp")
BUDGETS = (1, 2, 5, 10, 20)
"""Full trainings."""
SHARES: Mapping[str, tuple[float, float]] = {"good": (0.0, 0.1), "medium": (0.25, 0.75), "wrong": (0.75, 1.0)}
"""Of the configurations, best first, between which a prior is drawn."""
VARIANTS = ("none", *(f"{kind}, {confidence}" for kind in SHARES for confidence in ("medium", "high")))
RECIPE = "recipe"
"""The variant of a segmentation alone."""
_OF_NEPS = tuple(f"{kind}, medium" for kind in SHARES)
NEPS_VARIANTS = (
    "NePS PriorBand: none",
    *(f"NePS PriorBand: {variant}" for variant in _OF_NEPS),
    *(f"NePS PriorBand, prior first: {variant}" for variant in _OF_NEPS),
)
PRIMO_VARIANTS = tuple(f"NePS PriMO: {variant}" for variant in _OF_NEPS)
"""Ten times slower than the others, and only run where they are asked for."""


def variants_of(problem: Problem) -> tuple[str, ...]:
    """The rows of a problem's table."""
    return (*VARIANTS, *((RECIPE,) if problem.task == "segmentation" else ()), *NEPS_VARIANTS)


def prior(recorded: Recorded, problem: Problem, kind: str, seed: int) -> Mapping[str, Any]:
    """A recorded configuration of that kind."""
    rows = recorded.rows(Kind.RANDOM)
    best = (problem.sign * bounded(recorded.values[rows], problem)).max(1)
    order = rows[np.argsort(-best, kind="stable")]
    low, high = (int(share * len(order)) for share in SHARES[kind])
    rng = np.random.default_rng((seed, list(SHARES).index(kind)))
    return recorded.params[int(rng.choice(order[low:high]))]


def with_priors(problem: Problem, params: Mapping[str, Any], confidence: str) -> Problem:
    """The problem with these values as priors in its space."""
    tree = copy.deepcopy(dict(problem.trial))
    for domain, _ in problem.domains:
        if domain.name in params:
            place: Any = tree
            for key in domain.path[1:]:
                place = place[key]
            place |= {"prior": params[domain.name], "confidence": confidence}
    return replace(problem, trial=tree)


def with_recipe(problem: Problem) -> Problem:
    """The problem with the priors of the recipe for its task."""
    parts = RECIPES[problem.task].parts({"trial": problem.trial})
    document = Document("config", None, {"trial": copy.deepcopy(dict(problem.trial))}, {})
    return replace(problem, trial=with_sources(document, [Source("the recipe", parts)])[0].tree["trial"])


def run(surrogate: Surrogate, recorded: Recorded, variant: str, seed: int) -> list[float]:
    """Regret in percent at each budget of one simulated search."""
    method, _, priors = variant.rpartition(": ")
    if method:
        values = _of_neps(method, surrogate, recorded, priors, seed)
    else:
        values = _of_own(surrogate, recorded, priors, seed)
    return [round(surrogate.regret(surrogate.median if value is None else value), 3) for value in values]


def _of_own(surrogate: Surrogate, recorded: Recorded, variant: str, seed: int) -> list[float | None]:
    from benchmarks.efficiency.methods_own import simulate_own

    searched = copy.copy(surrogate)
    if variant == RECIPE:
        searched.problem = with_recipe(surrogate.problem)
    elif variant != "none":
        kind, confidence = variant.split(", ")
        found = prior(recorded, surrogate.problem, kind, seed)
        searched.problem = with_priors(surrogate.problem, found, confidence)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        trace, _ = simulate_own(searched, Path(folder), budget=max(BUDGETS) * LENGTH, seed=seed, sections={})
    return [trace.at(budget * LENGTH) for budget in BUDGETS]


def _of_neps(
    method: str, surrogate: Surrogate, recorded: Recorded, variant: str, seed: int
) -> list[float | None]:
    from benchmarks.efficiency.priors_neps import values_of

    kind = variant.partition(",")[0]
    found = {} if kind == "none" else prior(recorded, surrogate.problem, kind, seed)
    return values_of(method, surrogate, found, "medium", budgets=BUDGETS, seed=seed)


def show(results: Mapping[str, Any]) -> None:
    """The tables: regret in percent, mean and 95 % over the seeds."""
    for name, rows in results.items():
        print(f"\n| {name}, regret in % after | " + " | ".join(map(str, BUDGETS)) + " | seeds |")
        print("|---" * (len(BUDGETS) + 2) + "|")
        for variant in filter(rows.get, (*variants_of(PROBLEMS[name]), *PRIMO_VARIANTS)):
            by_seed = rows[variant]
            cells = [Spread.of([found[place] for found in by_seed.values()]) for place in range(len(BUDGETS))]
            texts = " | ".join(f"{cell.mean:.1f} ± {cell.half:.1f}" for cell in cells)
            print(f"| {variant} | {texts} | {len(by_seed)} |")


def _method_of(variant: str) -> str:
    return "primo" if variant in PRIMO_VARIANTS else "neps" if variant in NEPS_VARIANTS else "own"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds")
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=list(CHOSEN))
    parser.add_argument("--methods", choices=["own", "neps", "primo"], nargs="+", default=["own", "neps"])
    parser.add_argument("--show", action="store_true", help="compute nothing")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in () if args.show else args.problems:
        recorded = Recorded.load(PROBLEMS[name])
        surrogate = Surrogate(PROBLEMS[name], recorded)
        for seed in range(args.seeds):
            for variant in (*variants_of(PROBLEMS[name]), *PRIMO_VARIANTS):
                if _method_of(variant) not in args.methods:
                    continue
                by_seed = results.setdefault(name, {}).setdefault(variant, {})
                if str(seed) not in by_seed:
                    by_seed[str(seed)] = run(surrogate, recorded, variant, seed)
                    RESULTS.write_text(json.dumps(results) + "\n", encoding="utf-8")
    show(results)


if __name__ == "__main__":
    main()
