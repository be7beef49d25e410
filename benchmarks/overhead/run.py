"""What a search costs besides its training: two trials at once, against Ray Tune, Optuna and Syne Tune.

    python -m benchmarks.overhead.run              one round of all, six minutes; --pairs 5 for the claim
    python -m benchmarks.overhead.run --seconds 5 60 --pairs 1     longer trials; 25 minutes

prints a table and writes run.json beside it. Needs the peers' environment.

Two searches of each contender in a round. In the first, 16 trials of known length, the longest first, in five
virtual epochs each with a report and a checkpoint. A virtual epoch waits on the clock (work.py).
Given is the time from the first trial's begin to the last one's end over the sum of all waits by two: 1 is
perfect. The time until the first trial begins is on its own (see start.py). In the second, trials of one
virtual epoch without a wait: trials per minute, from the first one's begin to the last one's end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, parser, print_table, ratios, spread, write_results
from benchmarks.overhead.peers import CONTENDERS, WORKERS

NUM_TRIALS, VIRTUAL_EPOCHS = 16, 5
NUM_EMPTY = 300
NUM_SLOW = 16
SLOW = ("Ray Tune, function", "Syne Tune, local")
"""They start a process for each trial, which takes seconds; so two rounds of them are enough."""


def lengths(shortest: float, longest: float) -> list[float]:
    """Seconds of the trials, evenly spread, the longest first."""
    gap = (longest - shortest) / (NUM_TRIALS - 1)
    return [longest - gap * number for number in range(NUM_TRIALS)]


def run(contender: str, seconds: list[float], virtual_epochs: int) -> dict[str, float]:
    """One search in processes of its own."""
    with tempfile.TemporaryDirectory(prefix="overhead-") as folder:
        log = Path(folder) / "log"
        given = {
            "seconds": [value / virtual_epochs for value in seconds],
            "virtual_epochs": virtual_epochs,
            "folder": folder,
        }
        environment = os.environ | {
            "OVERHEAD_LOG": str(log),
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
        began = time.monotonic()
        command = [sys.executable, "-m", "benchmarks.overhead.peers", contender, json.dumps(given)]
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=900,
            encoding="utf-8",
        )
        whole = time.monotonic() - began
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    if len(lines) < len(seconds) * virtual_epochs:
        raise RuntimeError(
            f"{contender} trained {len(lines)} virtual epochs; {len(seconds) * virtual_epochs} were asked "
            f"for. It said:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
    times = [[float(word) for word in line.split()] for line in lines]
    first, last = min(begin for begin, _ in times), max(end for _, end in times)
    waited = sum(end - begin for begin, end in times)
    return {
        "whole": whole,
        "until first trial": first - began,
        "span": last - first,
        "waited": waited,
        "trials": len(lines) / virtual_epochs,
        "after last trial": began + whole - last,
    }


def timed(contender: str, seconds: list[float]) -> dict[str, float]:
    found = run(contender, seconds, VIRTUAL_EPOCHS)
    return found | {"ratio": found["span"] / (found["waited"] / WORKERS)}


def empty(contender: str) -> dict[str, float]:
    found = run(contender, [0.0] * (NUM_SLOW if contender in SLOW else NUM_EMPTY), 1)
    return found | {"per minute": 60 * found["trials"] / found["span"]}


def main() -> None:
    made = parser(
        "Search overhead: wall time over training time, and trials per minute for trials of no work.",
        "python -m benchmarks.overhead.run --pairs 5",
        pairs=1,
    )
    made.add_argument("--seconds", type=float, nargs=2, default=[1.0, 6.0], help="shortest and longest trial")
    made.add_argument("--only", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS))
    options = made.parse_args()
    seconds = lengths(*options.seconds)
    measured: dict[str, dict[str, list[dict[str, float]]]] = {
        name: {"timed": [], "empty": []} for name in options.only
    }
    for number in range(options.pairs):
        for name in options.only:
            if name in SLOW and number >= 2:
                continue
            for kind, measure in (("timed", partial(timed, name, seconds)), ("empty", partial(empty, name))):
                measured[name][kind].append(measure())
    ours = measured.get("tune-search", measured[options.only[0]])
    summary: dict[str, dict[str, Any]] = {}
    for name, found in measured.items():
        rates = [row["per minute"] for row in found["empty"]]
        summary[name] = {
            "ratio": spread([row["ratio"] for row in found["timed"]]),
            "per minute": spread(rates),
            "of ours": spread(ratios(rates, [row["per minute"] for row in ours["empty"][: len(rates)]])),
            "until first trial": spread([row["until first trial"] for row in found["timed"]]),
            "after last trial": spread([row["after last trial"] for row in found["timed"]]),
        }
    header = [
        "",
        "wall / (training / 2)",
        "empty trials a minute",
        "of ours",
        "s before first",
        "s after last",
    ]
    print_table(
        f"{NUM_TRIALS} trials of {options.seconds[0]:g} to {options.seconds[1]:g} s, {WORKERS} at once",
        header,
        [[name, *row.values()] for name, row in summary.items()],
    )
    write_results(
        settings={"seconds": seconds, "virtual_epochs": VIRTUAL_EPOCHS, "pairs": options.pairs},
        measurements=measured,
        summary=summary,
        packages=["ray", "optuna", "syne-tune", "torch"],
        out=options.out,
    )


if __name__ == "__main__":
    main()
