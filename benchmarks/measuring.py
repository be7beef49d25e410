"""What every benchmark shares: alternating measurements, ratios with their spread, a table, a form of JSON.

measured = alternate({"bare": bare, "ours": ours}, pairs=7)   # each returns its own measurement
ratio = spread(ratios(measured["ours"], measured["bare"]))    # round by round, then the median
print_table("Loop", ["who", "of the bare loop"], [["ours", ratio]])
write_results(settings=..., measurements=measured, summary={"ours": ratio}, packages=["torch"])
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Spread:
    """Median of some measurements, with the quartiles between which half of them lie."""

    median: float
    low: float
    high: float
    num: int

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def parser(description: str, example: str, *, pairs: int = 5) -> argparse.ArgumentParser:
    """The options that every benchmark has: --pairs and --out; `example` is printed below them."""
    made = argparse.ArgumentParser(
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--pairs", type=int, default=pairs, help=f"alternating rounds (default {pairs})")
    made.add_argument("--out", type=Path, default=None, help="the JSON (default: beside the program)")
    return made


def alternate(
    candidates: Mapping[str, Callable[[], float]], pairs: int, *, warm_up: int = 1
) -> dict[str, list[float]]:
    """Each candidate once, then each once more, `pairs` times after the rounds that warm up: A B C A B C ...

    A candidate returns its own measurement. What disturbs the machine for a while then disturbs neighbours
    alike, so compare round by round (`ratios`).
    """
    if pairs < 1:
        raise ValueError(f"pairs is {pairs}; it must be 1 or more")
    measured: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(warm_up + pairs):
        for name, measure in candidates.items():
            value = measure()
            if number >= warm_up:
                measured[name].append(value)
    return measured


def ratios(values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """Value over baseline, each pair of the same round."""
    return [value / base for value, base in zip(values, baseline, strict=True)]


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(statistics.median(values), low, high, len(values))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns as wide as their longest cell; the first is aligned left, the others right."""
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        first, others = (
            row[0].ljust(widths[0]),
            [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)],
        )
        print("  ".join([first, *others]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    sys.stdout.flush()


def write_results(
    *,
    settings: Mapping[str, Any],
    measurements: Any,
    summary: Any,
    packages: Sequence[str],
    out: Path | None = None,
) -> Path:
    """`run.json` beside `run.py`, or `out`: command, versions, every single measurement, and what follows.

    Spreads in `summary` become mappings; everything else must be what JSON knows.
    """
    path = out or Path(sys.argv[0]).resolve().with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "command": command(),
        "commit": _commit(),
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version()} | _versions(packages),
        "settings": settings,
        "summary": summary,
        "measurements": measurements,
    }
    path.write_text(json.dumps(content, indent=2, default=_plain) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a result holds a {type(value).__name__}; it must be what JSON knows, or a Spread")


def command() -> str:
    """What was called, with the program's path below this folder's parent, wherever that lies."""
    path = Path(sys.argv[0]).resolve()
    program = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name
    return " ".join(["python", program, *sys.argv[1:]])


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False, encoding="utf-8"
    )
    return asked.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text(encoding="utf-8").splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return names[0].split(":", 1)[1].strip() if names else platform.processor()
