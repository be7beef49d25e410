"""Memory that each further trial at once adds, on data that lies in memory.

    python benchmarks/memory.py               1 to 4 trials on 400 MB, three ways; three minutes
    python benchmarks/memory.py --megabytes 100 --trials 1 2

prints a table and writes benchmarks/results/memory.json.

Every trial trains a small network on the same array of so many megabytes. Measured is the sum over all
processes below this one of their proportional set size (what several share is counted once), while all trials
train and have read all of the data. The processes of Ray are in it, once; what a further trial adds is the
difference. tune-search shares the array. The others are what is written most often: a function for Ray Tune
that holds the array in its closure, and Optuna in processes that each load the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from measuring import parser, print_table, write_results  # noqa: E402

WAYS = ("tune-search", "Ray Tune, closure", "Optuna, processes")
MEGABYTE = 2**20


def processes_below(root: int) -> list[int]:
    """All processes that descend from this one, itself included."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
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
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
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
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)]),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, str(HERE / "memory_contenders.py"), json.dumps(given)]
        output = Path(folder) / "output.txt"
        with output.open("w") as out:
            search = subprocess.Popen(command, env=environment, cwd=HERE, stdout=out, stderr=out)
        try:
            while len(list(Path(folder).glob("ready_*"))) < num_trials:
                if search.poll() is not None:
                    raise RuntimeError(f"{way} ended:\n{output.read_text()[-4000:]}")
                time.sleep(0.1)
            time.sleep(1.0)
            found = proportional_bytes(search.pid)
            (Path(folder) / "go").touch()
            search.wait(120)
        finally:
            search.kill()
            search.wait()
    return found / MEGABYTE


def _added(found: dict[int, list[float]], fewest: int, most: int) -> float:
    """Megabytes that a trial more takes, from the smallest measurements of fewest and most trials."""
    return (min(found[most]) - min(found[fewest])) / max(1, most - fewest)


def main() -> None:
    made = parser(
        "Memory that each further trial at once adds on in-memory data.",
        "python benchmarks/memory.py --pairs 5",
        pairs=1,
    )
    made.add_argument("--megabytes", type=int, default=400, help="of the data")
    made.add_argument("--trials", type=int, nargs="+", default=[1, 2, 4], help="numbers of trials at once")
    made.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    options = made.parse_args()
    counts = sorted(options.trials)
    measured: dict[str, dict[int, list[float]]] = {way: {n: [] for n in counts} for way in options.only}
    for _ in range(options.pairs):
        for count in counts:
            for way in options.only:
                measured[way][count].append(measure(way, count, options.megabytes))
    added = {way: _added(found, counts[0], counts[-1]) for way, found in measured.items()}
    print_table(
        f"MB of all processes, {options.megabytes} MB of data",
        ["", *(f"{count} at once" for count in counts), "each further trial"],
        [
            [way, *(f"{min(found[count]):.0f}" for count in counts), f"{added[way]:.0f}"]
            for way, found in measured.items()
        ],
    )
    write_results(
        "memory",
        settings={"megabytes": options.megabytes, "trials": counts, "pairs": options.pairs},
        measurements=measured,
        summary={"megabytes added by each further trial": added},
        packages=["ray", "optuna", "torch", "numpy"],
        folder=options.out,
    )


if __name__ == "__main__":
    main()
