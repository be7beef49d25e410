"""`make gpu`: makes all checks that a GPU is needed for, prints a table, writes run.json beside this file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.gpu.check import Line, Status
from benchmarks.gpu.checks import chosen
from benchmarks.gpu.report import machine, show, title, write
from benchmarks.gpu.runner import CheckProcess, make_all

HERE = Path(__file__).resolve().parent
EXAMPLES = """examples:
  python -m benchmarks.gpu.run                            all checks, in less than 8 minutes
  python -m benchmarks.gpu.run --list                     their names, and what each shows
  python -m benchmarks.gpu.run --only gradients --only repeat/unet
  python -m benchmarks.gpu.run --device cpu --only share  what can be tried without a GPU

A check that fails, hangs or kills its process is a failed line, and the next one is made. What checks print
is in run.log beside the results. Exit code 1: a check has failed.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the checks that were asked for; the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        checks = chosen(asked.only)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 160)
    if asked.list:
        for check in checks:
            needs = " (needs a GPU)" if check.needs_gpu else ""
            console.print(f"{check.name:32} {check.shows}{needs}", highlight=False, soft_wrap=True)
        return 0
    device = torch.device(asked.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    facts, log = machine(device), asked.out.with_suffix(".log")
    log.unlink(missing_ok=True)
    console.print(title(facts), highlight=False)
    lines: list[Line] = []
    start = partial(CheckProcess, device.type, log)
    for line in make_all(checks, start, seconds=asked.seconds, on_gpu=device.type == "cuda"):
        lines.append(line)
        write(asked.out, facts, lines)
        console.print(
            f"{line.check:32} {line.status:8} {line.figure:>16} {line.limit:>12}  {line.note}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    show(console, facts, lines)
    console.print(f"written to {asked.out}", highlight=False, soft_wrap=True)
    return 1 if any(line.status is Status.FAILED for line in lines) else 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.run",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="checks that begin so; may be repeated"
    )
    made.add_argument("--list", action="store_true", help="name the checks and make none")
    made.add_argument("--device", choices=["cuda", "cpu"], help="default: cuda where there is one")
    made.add_argument("--seconds", type=float, default=460.0, help="for all checks (default 460)")
    made.add_argument(
        "--out", type=Path, default=HERE / "run.json", help="the JSON (default: beside this file)"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
