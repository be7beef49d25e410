"""The table of docs/benchmarks.md, from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from benchmarks.efficiency.quality import mean_ranks
from benchmarks.efficiency.show import cells


def print_markdown(
    results: Mapping[str, Any], problems: Sequence[str], seeds: AbstractSet[int], budgets: Sequence[int]
) -> None:
    """Regret after 10; after 30 full trainings ± 95 %, and its worst; then the mean ranks at each budget.

    Methods that lack a seed of a problem are left out.
    """
    tables = {name: cells(results.get(name, {}), ["compute"], seeds) for name in problems}
    tables = {name: table for name, table in tables.items() if table}
    whole = set.intersection(
        *({m for m, spreads in table.items() if spreads[0].count == len(seeds)} for table in tables.values())
    )
    at = [{m: spreads for m, spreads in table.items() if m in whole} for table in tables.values()]
    ranks = [
        mean_ranks([{method: spreads[place].mean for method, spreads in table.items()} for table in at])
        for place in range(len(budgets))
    ]
    ten, thirty = budgets.index(10), budgets.index(30)
    print(f"| method | {' | '.join(tables)} | mean rank |")
    print("|---" * (len(tables) + 2) + "|")
    for method in sorted(whole, key=lambda method: sum(rank[method] for rank in ranks)):
        row = [
            f"{spreads[ten].mean:.1f}; {spreads[thirty].mean:.1f} ± {spreads[thirty].half:.1f}, "
            f"{spreads[thirty].worst:.0f}"
            for spreads in (table[method] for table in at)
        ]
        print(f"| {method} | {' | '.join(row)} | {', '.join(f'{rank[method]:.1f}' for rank in ranks)} |")
