"""How far forecasts of `tune-search plan` are from what searches then take, over the files in configs/.

    python -m benchmarks.forecast --out benchmarks/results/forecast.json

Each search has a budget of a few minutes. Plan and search run one after the other as a user's commands, so
that what else the machine does meanwhile is in the numbers: its load is recorded beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CASES: Mapping[str, Sequence[str]] = {
    "seg": ("budget.trials=9", "budget.max_virtual_epochs=9"),
    "seg-time": ("budget.trials=null", "budget.time=2m", "budget.max_virtual_epochs=9"),
    "classification": ("budget.trials=9", "budget.max_virtual_epochs=9"),
    "regression": ("budget.trials=20",),
    "gan": ("budget.trials=8", "budget.max_virtual_epochs=9"),
    "seg_transformer": ("budget.trials=6", "budget.max_virtual_epochs=9"),
    "batch_size": ("budget.max_virtual_epochs=30",),
    "stages": (),
}
"""By file in configs/, with what is added to its name to tell cases apart: what is set."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON with the numbers; cases in it stay")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--probe", default="60s")
    parser.add_argument("--local", action="store_true", help="without Ray, one trial at a time")
    given = parser.parse_args()
    found = json.loads(given.out.read_text(encoding="utf-8")) if given.out.is_file() else {}
    for case in given.only:
        if case not in found:
            found[case] = measure(case, given.probe, ["--local"] if given.local else [])
            given.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        print("\n".join(table({case: found[case]})), flush=True)
    print("\n".join(["", *table(found)]))


def measure(case: str, probe: str, options: Sequence[str] = ()) -> dict[str, Any]:
    """Forecast and fact of one search; the options are given to plan and search."""
    config = Path("configs", f"{case.partition('-')[0]}.yaml").absolute()
    settings = [*options, *(word for value in CASES[case] for word in ("--set", value))]
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        loads = [os.getloadavg()[0]]
        _run("plan", config, *settings, "--probe", probe, "--out", plan)
        loads.append(os.getloadavg()[0])
        _run(config, *settings, "--plan", plan, "--results", folder, "--name", "run")
        loads.append(os.getloadavg()[0])
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text(encoding="utf-8"))
        planned = json.loads(plan.read_text(encoding="utf-8"))
    stages = planned["stages"]
    return {
        **summary["forecast"],
        "configurations": sum(stage["configurations"] for stage in stages),
        "probe_seconds": planned["probe_seconds"],
        "load_at_plan": sum(loads[:2]) / 2,
        "load_at_search": sum(loads[1:]) / 2,
        "full_trainings": {
            "forecast": stages[0]["bought"]["full_trainings"],
            "virtual_epochs": summary["virtual_epochs"],
        },
        "set": list(CASES[case]),
        "cpus": os.cpu_count(),
        "options": list(options),
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Markdown."""
    yield "| case | time [10 to 90 %] | took | error | trials | were | disk | was | load at plan, search |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for case, each in found.items():
        seconds, trials, disk = (each[key] for key in ("seconds", "trials", "disk_bytes"))
        ahead, took = seconds["forecast"], seconds["fact"]
        yield (
            f"| {case} | {ahead['middle']:.0f} s [{ahead['low']:.0f} to {ahead['high']:.0f}] | {took:.0f} s "
            f"| {ahead['middle'] / took - 1:+.0%} "
            f"| {trials['forecast']['middle']:.0f} | {trials['fact']} "
            f"| {disk['forecast']['middle'] / 1e6:.1f} MB | {disk['fact'] / 1e6:.1f} MB "
            f"| {each['load_at_plan']:.0f}, {each['load_at_search']:.0f} |"
        )


def _run(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "search", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    main()
