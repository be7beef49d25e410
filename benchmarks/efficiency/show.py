"""The tables of the efficiency benchmark, from its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from benchmarks.efficiency.problems import PROBLEMS
from benchmarks.efficiency.quality import Spread, mean_ranks
from benchmarks.measuring import print_table

Cells = Mapping[str, Sequence[Spread]]
"""Of each method, the regret in each column."""


def show(
    results: Mapping[str, Any],
    problems: Sequence[str],
    seeds: AbstractSet[int],
    *,
    readings: Sequence[str],
    budgets: Sequence[int],
) -> None:
    """Print a table per problem and reading, and for each reading the mean ranks over the problems."""
    for kind, columns in (("compute", ["compute"]), ("trials", [r for r in readings if r != "compute"])):
        columns = [reading for reading in columns if reading in readings]
        tables = {name: cells(results.get(name, {}), columns, seeds) for name in problems}
        tables = {name: table for name, table in tables.items() if table}
        if not columns or not tables:
            continue
        titles = [f"{budget}" for budget in budgets] if kind == "compute" else columns
        for name, table in tables.items():
            _print(name, table, titles, kind, results[name], columns, seeds)
        _print_ranks(list(tables.values()), titles, kind)


def cells(
    by_method: Mapping[str, Any], readings: Sequence[str], seeds: AbstractSet[int]
) -> dict[str, list[Spread]]:
    """The regrets of every method that has results for all of these readings."""
    found = {}
    for name, by_reading in by_method.items():
        spreads: list[Spread] = []
        for reading in readings:
            items = of_seeds(by_reading.get(reading, {}), seeds)
            if items:
                spreads += [Spread.of(column) for column in zip(*(i["regret"] for i in items), strict=True)]
        if spreads and all(of_seeds(by_reading.get(reading, {}), seeds) for reading in readings):
            found[name] = spreads
    return found


def of_seeds(by_seed: Mapping[str, Any], seeds: AbstractSet[int]) -> list[Any]:
    return [item for seed, item in by_seed.items() if int(seed) in seeds]


def _print(
    problem: str,
    table: Cells,
    titles: Sequence[str],
    kind: str,
    by_method: Mapping[str, Any],
    readings: Sequence[str],
    seeds: AbstractSet[int],
) -> None:
    aside = " (held out)" if PROBLEMS[problem].held_out else ""
    after = "full trainings" if kind == "compute" else "the trials of a whole search"
    title = f"{problem}{aside}: regret in % after {after}: mean ± 95 %, then median, upper quartile and worst"
    rows = []
    for name in sorted(table, key=lambda name: table[name][-1].mean):
        row = [name, table[name][0].count, *(text(spread) for spread in table[name])]
        if kind == "trials":
            items = of_seeds(by_method[name][readings[-1]], seeds)
            row.append(f"{np.mean([item['full_trainings'] for item in items]):.1f}")
        rows.append(row)
    cost = ["full trainings"] if kind == "trials" else []
    print_table(title, ["method", "seeds", *titles, *cost], rows)


def text(spread: Spread) -> str:
    return (
        f"{spread.mean:.1f} ± {spread.half:.1f} | {spread.median:.1f} {spread.upper:.1f} {spread.worst:.0f}"
    )


def _print_ranks(tables: Sequence[Cells], titles: Sequence[str], kind: str) -> None:
    ranks = [
        mean_ranks([{name: spreads[place].mean for name, spreads in table.items()} for table in tables])
        for place in range(len(titles))
    ]
    rows = [
        [name, *(f"{rank[name]:.1f}" for rank in ranks), f"{np.mean([rank[name] for rank in ranks]):.1f}"]
        for name in sorted(ranks[0], key=lambda name: np.mean([rank[name] for rank in ranks]))
    ]
    title = f"mean rank over {len(tables)} problems, by {kind}"
    print_table(title, ["method", *titles, "mean"], rows)
