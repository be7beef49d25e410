"""How far simulated searches are from complete ones, given what their own first trials took.

    python -m benchmarks.forecast_of_runs results/seg results/regression

This is the second half of a forecast, without the probe: how many trials a budget buys, how deep they are
trained. The costs are the mean wall times of the virtual epochs of trials 2 to 13; those of trials 0 and 1
have the start of their processes in them. Time between jobs is not in a study, so hours are not compared.
"""

from __future__ import annotations

import sys
from pathlib import Path

from search.config.stages import open_run
from search.forecast.buys import buys
from search.forecast.costs import Costs, TrialCost
from search.run.before.forecasted import Range
from search.run.disk.folder import RunFolder
from search.run.outcome.summary_file import read_summary
from search.study.reading import read_records
from search.study.trial import TrialRecord

WORKERS = 2


def row(run: Path) -> str:
    """Forecast and fact of one complete search, as a line of a table."""
    folder = RunFolder(run)
    config, summary = open_run(folder.config).first, read_summary(folder)
    records = [record for record in read_records(folder.journal) if record.values]
    costs = Costs(
        trials=[cost_of(record) for record in records[2:14]],
        broken_off=summary.counts.get("diverged", 0) / summary.trials,
    )
    bought = buys(config, costs, WORKERS)
    spent = summary.virtual_epochs / config.budget.max_virtual_epochs
    fully = sum(record.depth >= config.budget.max_virtual_epochs for record in records)
    cells = [
        (bought.trials, float(summary.trials)),
        (bought.full_trainings, spent),
        (bought.fully_trained, float(fully)),
    ]
    compared = " | ".join(f"{shown(ahead)} | {fact:.3g}" for ahead, fact in cells)
    return f"| {run.name}: {bought.budget} | {compared} |"


def cost_of(record: TrialRecord) -> TrialCost:
    """What a trial took."""
    assert record.lengths is not None
    seconds, times = record.seconds / record.depth, record.times
    beside = times.beside_ms / 1000 / times.besides if times.besides else 0.0
    return TrialCost(
        params=record.params, lengths=record.lengths, seconds=(seconds + beside,), trained=seconds
    )


def shown(numbers: Range) -> str:
    return f"{numbers.middle:.3g} [{numbers.low:.3g} to {numbers.high:.3g}]"


def main() -> None:
    print("| search | trials | were | full trainings | were | fully trained | were |")
    print("|---|---|---|---|---|---|---|")
    for run in sys.argv[1:]:
        print(row(Path(run)), flush=True)


if __name__ == "__main__":
    main()
