"""Memory that each further trial at once adds, on data that lies in memory.

    python -m benchmarks.overhead.memory            1 and 2 trials on 50 and 200 MB, three ways; five minutes
    python -m benchmarks.overhead.memory --megabytes 100 400 --trials 1 4 --only tune-search

prints a table and writes memory.json beside it.

Every trial trains a small network on the same array of so many megabytes. Measured is the sum over all
processes below this one of their proportional set size (what several share is counted once), while all trials
train and have read all of the data. The processes of Ray are in it, once; what a further trial adds is the
difference between two numbers of trials, and what of it is data that between two amounts of data.
tune-search shares the array. The others are what is written most often: a function for Ray Tune
that holds the array in its closure, and Optuna in processes that each load the file.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import ROOT, parser, print_table, write_results

WAYS = ("tune-search", "Ray Tune, closure", "Optuna, processes")
MEGABYTE = 2**20


def processes_below(root: int) -> list[int]:
    """All processes that descend from this one, itself included."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def proportional_bytes(root: int) -> int:
    """Of all processes below this one; what they share is counted once."""
    total = 0
    for process in processes_below(root):
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8")
        except OSError:
            continue
        for line in rollup.splitlines():
            if line.startswith("Pss:"):
                total += 1024 * int(line.split()[1])
    return total


def measure(way: str, num_trials: int, megabytes: int) -> float:
    """Megabytes of a search with so many trials at once, when each has read its data."""
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        given = {"way": way, "trials": num_trials, "megabytes": megabytes, "folder": folder}
        environment = os.environ | {
            "MEMORY_FOLDER": folder,
            "MEMORY_TRIALS": str(num_trials),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "benchmarks.overhead.memory_peers", json.dumps(given)]
        output = Path(folder) / "output.txt"
        with output.open("w", encoding="utf-8") as out:
            search = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=out)
        try:
            while len(list(Path(folder).glob("ready_*"))) < num_trials:
                if search.poll() is not None:
                    raise RuntimeError(f"{way} ended:\n{output.read_text(encoding='utf-8')[-4000:]}")
                time.sleep(0.1)
            time.sleep(1.0)
            found = proportional_bytes(search.pid)
            (Path(folder) / "go").touch()
            search.wait(120)
        finally:
            search.kill()
            search.wait()
    return found / MEGABYTE


def slopes(found: dict[tuple[int, int], list[float]]) -> dict[str, float]:
    """What a further trial adds at the fewest and at the most data, and how much of that is data.

    Args:
        found: megabytes measured, by (megabytes of data, trials at once), two numbers of each.
    """
    (less, more), (few, many) = (sorted({key[place] for key in found}) for place in (0, 1))
    middle = {key: statistics.median(values) for key, values in found.items()}
    added = {size: (middle[size, many] - middle[size, few]) / (many - few) for size in (less, more)}
    return {
        f"further trial, {less} MB of data": added[less],
        f"further trial, {more} MB of data": added[more],
        "copies of the data": (added[more] - added[less]) / (more - less),
    }


def main() -> None:
    made = parser(
        "Memory that each further trial at once adds on in-memory data.",
        "python -m benchmarks.overhead.memory --pairs 5",
        pairs=1,
    )
    made.add_argument("--megabytes", type=int, nargs=2, default=[50, 200], help="less and more data")
    made.add_argument("--trials", type=int, nargs=2, default=[1, 2], help="fewer and more trials at once")
    made.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    options = made.parse_args()
    cases = [(size, count) for size in sorted(options.megabytes) for count in sorted(options.trials)]
    measured: dict[str, dict[tuple[int, int], list[float]]] = {
        way: {case: [] for case in cases} for way in options.only
    }
    for _ in range(options.pairs):
        for size, count in cases:
            for way in options.only:
                measured[way][size, count].append(measure(way, count, size))
    summary = {way: slopes(found) for way, found in measured.items()}
    print_table(
        f"MB that a further trial adds to {min(options.trials)} at once",
        ["", *next(iter(summary.values()))],
        [
            [way, *(f"{value:.2f}" if "copies" in name else f"{value:.0f}" for name, value in row.items())]
            for way, row in summary.items()
        ],
    )
    write_results(
        settings={"megabytes": options.megabytes, "trials": options.trials, "pairs": options.pairs},
        measurements={
            way: {f"{size} MB, {count} at once": values for (size, count), values in found.items()}
            for way, found in measured.items()
        },
        summary=summary,
        packages=["ray", "optuna", "torch", "numpy"],
        out=options.out,
    )


if __name__ == "__main__":
    main()
