"""Thousands of trials on a real Ray, from the first to the last: pace, memory, files, commands on the run.

    python -m benchmarks.overhead.many_trials                  10,000 trials
    python -m benchmarks.overhead.many_trials --trials 1000

prints two tables and writes many_trials.json beside it.

A search of configs/regression.yaml, whose trials are so small here (two optimizer steps a virtual epoch) that
what is measured is the program: study, checkpoints, TensorBoard events, pauses and promotions, jobs through
Ray Tune. The driver's memory is the resident set of the process that decides. Times of commands are of the
processor, of all their processes; other work on the machine is not in them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, print_table, write_results
from search.study.reading import FollowedStudy
from search.text import counted

_LOOK_SECONDS = 2.0
_MARKS = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the trials at which the search is looked at."""


def searched(folder: Path, num_trials: int) -> list[str]:
    sections = {
        "budget.full_trainings": "null",
        "budget.trials": num_trials,
        "virtual_epoch": "{steps: 2}",
        "sampler.name": "random",
        "scheduler.grace_period": 1,
    }
    changed = [part for key, value in sections.items() for part in ("--set", f"{key}={value}")]
    config = ROOT / "configs/regression.yaml"
    return [*program(), str(config), "--name", "many", "--results", str(folder), "--plain", *changed]


def program() -> list[str]:
    return [sys.executable, "-m", "search"]


def resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def contents(run: Path) -> dict[str, float]:
    """Files, folders and megabytes of a run."""
    files = folders = size = 0
    for _, below, names in os.walk(run):
        folders += len(below)
        files += len(names)
    for file in run.rglob("*"):
        size += file.stat().st_size if file.is_file() else 0
    return {"files": files, "folders": folders, "megabytes": size / 1e6}


def watched(process: subprocess.Popen[bytes], run: Path, num_trials: int) -> Iterator[dict[str, float]]:
    """What the search is at each mark: trials ended, seconds, memory, and processor seconds of the driver."""
    began, marks = time.monotonic(), [round(mark * num_trials) for mark in _MARKS]
    study = None
    while process.poll() is None:
        time.sleep(_LOOK_SECONDS)
        if study is None and (run / "study.journal").exists():
            study = FollowedStudy(run / "study.journal")
        if study is None:
            continue
        begun = len(study.read().records)
        if marks and begun >= marks[0] and process.poll() is None:
            marks = [mark for mark in marks if mark > begun]
            yield {
                "trials": begun,
                "seconds": time.monotonic() - began,
                "driver MB": resident_megabytes(process.pid),
            }


def timed(command: list[str], folder: Path) -> dict[str, float]:
    """Processor and wall seconds of a command that must end with 0."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor": cpu, "wall": time.monotonic() - began}


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--trials", type=int, default=10_000)
    made.add_argument("--out", type=Path, default=None, help="the JSON (default: beside the program)")
    options = made.parse_args()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    os.environ.update(environment)
    with tempfile.TemporaryDirectory(prefix="many-") as place:
        folder, run = Path(place), Path(place) / "many"
        command = searched(folder, options.trials)
        began = time.monotonic()
        with (folder / "output.txt").open("w", encoding="utf-8") as output:
            process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
            marks = []
            for mark in watched(process, run, options.trials):
                marks.append(mark)
                print(json.dumps({key: round(value, 1) for key, value in mark.items()}), flush=True)
        seconds = time.monotonic() - began
        if process.returncode:
            raise RuntimeError((folder / "output.txt").read_text(encoding="utf-8")[-4000:])
        found = contents(run)
        commands: dict[str, list[str]] = {
            "list": ["list", str(folder)],
            "show": ["show", str(run)],
            "report": ["report", str(run)],
            "verify": ["verify", str(run)],
            "resume": ["resume", str(run), "--plain"],
        }
        times = {name: timed([*program(), *arguments], folder) for name, arguments in commands.items()}
    print_table(
        f"{options.trials:,} trials on Ray: {options.trials / seconds * 60:,.0f} a minute",
        ["trials begun", "seconds", "driver, MB"],
        [[f"{m['trials']:,}", f"{m['seconds']:.0f}", f"{m['driver MB']:.0f}"] for m in marks],
    )
    print(
        f"{counted(int(found['files']), 'file')}, {found['folders']:,} folders, {found['megabytes']:.0f} MB"
    )
    print_table(
        "Commands on that run, in seconds",
        ["", "processor", "wall"],
        [[name, f"{each['processor']:.1f}", f"{each['wall']:.1f}"] for name, each in times.items()],
    )
    measurements: dict[str, Any] = {"marks": marks, "contents": found, "commands": times}
    write_results(
        settings={"trials": options.trials},
        measurements=measurements,
        summary={"trials a minute": options.trials / seconds * 60},
        packages=["ray", "optuna", "torch"],
        out=options.out or Path(__file__).with_suffix(".json"),
    )


if __name__ == "__main__":
    main()
