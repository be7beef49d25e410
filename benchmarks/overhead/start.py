"""Start: seconds from the command to the first optimizer step and the first report, and the quick commands.

    python -m benchmarks.overhead.start --pairs 7

`tune-search` on configs/seg.yaml with one trial of one virtual epoch, against the same trial in bare Ray
(start_bare.py), in alternating pairs. The first step begins when its virtual epoch does: when
the report's line arrives, less the seconds that the trial itself counted for this virtual epoch. Reports are
read from a pipe, so nothing is added to either program. `--help` and `check` are timed too; their baseline is
a Python that starts and ends, and one that imports torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import measuring

STEPS, BATCH = 20, 16
CONFIG = measuring.ROOT / "configs" / "seg.yaml"
TRIAL = {
    "trial.optimizer": "{name: adamw, lr: 0.001}",
    "trial.model.width": "8",
    "trial.loss.dice": "0.0",
    "trial.batch_size": str(BATCH),
    "virtual_epoch.steps": str(STEPS),
    "budget.trials": "1",
    "budget.max_virtual_epochs": "1",
}
"""One trial, known beforehand; the rest is the configuration's."""

Moments = dict[str, float]


def program(*args: str) -> list[str]:
    """The command `tune-search` of the code beside this file."""
    return [sys.executable, "-c", "from search.cli.main import main; main()", *args]


def environment() -> dict[str, str]:
    paths = [str(measuring.ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "RAY_USAGE_STATS_ENABLED": "0"}


def searched(results: Path) -> Moments:
    """Seconds until the first step, the first report and the end of a search."""
    overrides = [word for path, value in TRIAL.items() for word in ("--set", f"{path}={value}")]
    command = program(str(CONFIG), "--plain", "--results", str(results), *overrides)
    began, report = time.time(), None
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(), encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if report is None and "virtual epoch 1/1" in line:
                report = time.time() - began
    ended = time.time() - began
    if process.returncode or report is None:
        raise RuntimeError(f"tune-search ended with {process.returncode}; the rest is in {results}")
    (summary,) = results.glob("*/summary.json")
    return {
        "step": report - json.loads(summary.read_text(encoding="utf-8"))["trial_seconds"],
        "report": report,
        "end": ended,
    }


def bare() -> Moments:
    """The same of start_bare.py."""
    command = [sys.executable, str(Path(__file__).with_name("start_bare.py")), str(STEPS), str(BATCH)]
    began = time.time()
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(), check=True, encoding="utf-8"
    )
    ended = time.time() - began
    told = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("step ", "report ")))
    return {name: float(moment) - began for name, moment in told.items()} | {"end": ended}


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, env=environment(), check=True)
    return time.perf_counter() - began


def measure(pairs: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Moments of both programs by `who moment`, and seconds of the quick commands, in alternating rounds."""
    starts: dict[str, list[float]] = {}

    def keeping(who: str, run: Callable[[], Moments]) -> Callable[[], float]:
        def once() -> float:
            moments = run()
            for name, value in moments.items():
                starts.setdefault(f"{who} {name}", []).append(value)
            return moments["step"]

        return once

    def ours() -> Moments:
        with tempfile.TemporaryDirectory(prefix="start-") as folder:
            return searched(Path(folder))

    measuring.alternate({"ray": keeping("ray", bare), "ours": keeping("ours", ours)}, pairs)
    starts = {name: values[-pairs:] for name, values in starts.items()}  # without those that warm up
    quick = {
        "python": lambda: seconds([sys.executable, "-c", ""]),
        "--help": lambda: seconds(program("--help")),
        "import torch": lambda: seconds([sys.executable, "-c", "import torch"]),
        "check": lambda: seconds(program("check", str(CONFIG))),
    }
    return starts, measuring.alternate(quick, pairs)


def main() -> None:
    options = measuring.parser(__doc__ or "", "python -m benchmarks.overhead.start --pairs 7").parse_args()
    starts, quick = measure(options.pairs)
    summary: dict[str, measuring.Spread] = {}
    rows = []
    for moment, text in (("step", "first step"), ("report", "first report"), ("end", "end")):
        ours, ray = starts[f"ours {moment}"], starts[f"ray {moment}"]
        summary[text] = measuring.spread(measuring.ratios(ours, ray))
        rows.append([text, measuring.spread(ours), measuring.spread(ray), summary[text]])
    measuring.print_table(
        "Start: seconds from the command, median (quartiles)",
        ["until", "tune-search", "bare Ray", "ratio"],
        rows,
    )
    rows = []
    for command, baseline in (("--help", "python"), ("check", "import torch")):
        summary[command] = measuring.spread(measuring.ratios(quick[command], quick[baseline]))
        values = [measuring.spread(quick[name]) for name in (command, baseline)]
        rows.append([f"{command} over {baseline}", *values, summary[command]])
    measuring.print_table("Other commands", ["command", "seconds", "baseline", "ratio"], rows)
    measuring.write_results(
        settings={"pairs": options.pairs, "config": CONFIG.name, "overrides": TRIAL},
        measurements={**starts, **quick},
        summary=summary,
        packages=["ray", "torch", "optuna", "tune-search"],
        out=options.out,
    )


if __name__ == "__main__":
    main()
