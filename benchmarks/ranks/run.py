"""One trial in two processes against one: samples per second, and what the start of a job takes.

    python -m benchmarks.ranks.run --pairs 3

A U-Net on 64 x 64 images, one thread for each process: a trial of two processes takes two cores, and one
of one process a single core. Each measurement is a search of its own, whose trials pause after every virtual
epoch: the first job starts the processes, later ones find them there.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import chdir
from typing import Any

from benchmarks.measuring import alternate, parser, print_table, ratios, spread, write_results
from search.run.events import Event, EventKind
from search.run.reporter import ProgressReporter
from search.run.search import search

TRIALS, VIRTUAL_EPOCHS = 3, 2


class Times(ProgressReporter):
    """Of each job, seconds to its first report besides training; and samples per second of each report."""

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.paces: list[float] = []
        self._began: dict[int, float] = {}
        self._before: dict[int, float] = {}

    def event(self, event: Event) -> None:
        number, now = event.record.number, time.monotonic()
        if event.kind in (EventKind.STARTED, EventKind.RESUMED, EventKind.PROMOTED):
            self._began[number] = now
        elif event.kind is EventKind.REPORTED:
            trained = event.metrics["seconds"] - self._before.get(number, 0.0)
            self._before[number] = event.metrics["seconds"]
            if (began := self._began.pop(number, None)) is not None:
                self.starts.append(now - began - trained)
            self.paces.append(event.metrics["samples_per_second"])


def configuration(workers: int) -> dict[str, Any]:
    """A search of a few trials, one at a time."""
    return {
        "name": f"workers{workers}",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "trial": {
            "data": {"source": "digits", "size": 64, "num_train": 256, "num_valid": 32},
            "model": {"name": "unet", "width": 16, "depth": 3},
            "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 1e-2]}},
            "batch_size": 16,
        },
        "virtual_epoch": {"steps": 6},
        "budget": {"trials": TRIALS, "max_virtual_epochs": VIRTUAL_EPOCHS},
        "scheduler": {"name": "asha", "reduction_factor": 2},
        "sampler": {"name": "random"},
        "resources": {"workers_per_trial": workers, "cpus_per_trial": workers, "concurrent_trials": 1},
    }


def main() -> None:
    """Measure, print and write."""
    asked = parser(__doc__ or "", "python -m benchmarks.ranks.run --pairs 3", pairs=3).parse_args()
    firsts: dict[int, list[float]] = {1: [], 2: []}
    laters: dict[int, list[float]] = {1: [], 2: []}

    def pace(workers: int) -> float:
        times = Times()
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            search(configuration(workers), results=folder, reporter=times)
        firsts[workers].append(times.starts[0])
        laters[workers] += times.starts[1:]
        return statistics.median(times.paces)

    measured = alternate({"one": lambda: pace(1), "two": lambda: pace(2)}, asked.pairs, warm_up=0)
    share = spread([ratio / 2 for ratio in ratios(measured["two"], measured["one"])])
    rows = [
        [
            f"{workers}",
            f"{statistics.median(measured[name]):.3g}",
            f"{statistics.median(firsts[workers]):.2f}",
            f"{statistics.median(laters[workers]):.2f}",
        ]
        for workers, name in ((1, "one"), (2, "two"))
    ]
    print_table("Processes of a trial", ["processes", "samples/s", "first job, s", "later job, s"], rows)
    print(f"share of linear with two: {share}")
    write_results(
        settings=configuration(2),
        measurements={"samples_per_second": measured, "first_job": firsts, "later_jobs": laters},
        summary={"share_of_linear": share},
        packages=["torch", "ray"],
        out=asked.out,
    )


if __name__ == "__main__":
    main()
