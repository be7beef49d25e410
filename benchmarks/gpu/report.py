"""The table that people read, and run.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.gpu.check import Line, Status, as_values
from benchmarks.measuring import ROOT

_PACKAGES = ("torch", "ray", "optuna", "numpy", "safetensors", "transformers")
_STYLES = {Status.PASSED: "green", Status.FAILED: "bold red", Status.SKIPPED: "yellow"}


def machine(device: torch.device) -> dict[str, Any]:
    """Device, driver, versions and the revision of the code."""
    facts: dict[str, Any] = {
        "device": "cpu",
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        **_revision(),
        "command": " ".join(["python", "-m", "benchmarks.gpu.run", *sys.argv[1:]]),
        "began": f"{datetime.now(UTC):%F %T} UTC",
    }
    if device.type == "cuda":
        # Not torch.cuda.get_device_properties: the context of this process would take the checks' memory.
        facts |= _from_the_driver()
        facts["versions"] |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return facts


def write(path: Path, facts: dict[str, Any], lines: Sequence[Line]) -> None:
    """All that is known so far; written after every line, so that an interrupted run leaves what it found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = Counter(str(line.status) for line in lines)
    content = {
        **facts,
        "counts": {str(status): counts[str(status)] for status in Status},
        "seconds": round(sum(line.seconds for line in lines), 1),
        "checks": [as_values(line) for line in lines],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def show(console: Console, facts: dict[str, Any], lines: Sequence[Line]) -> None:
    """The whole table."""
    table = Table(title=title(facts), title_justify="left", expand=False)
    for name in ("check", "", "figure", "limit", "s"):
        table.add_column(name, justify="right" if name == "s" else "left", no_wrap=name != "")
    table.add_column("note", overflow="fold")
    for line in lines:
        status = f"[{_STYLES[line.status]}]{line.status}[/]"
        table.add_row(line.check, status, line.figure, line.limit, f"{line.seconds:.1f}", line.note)
    console.print(table)
    counts = Counter(line.status for line in lines)
    console.print(", ".join(f"{counts[status]} {status}" for status in Status))


def title(facts: dict[str, Any]) -> str:
    """One line: where this was."""
    versions = facts["versions"]
    driver = f", driver {facts['driver']}" if "driver" in facts else ""
    where = f"{facts['device']}{driver}, torch {versions['torch']}, ray {versions['ray']}"
    return f"{where}, revision {facts['revision'][:9]}{' with changes' if facts['changed'] else ''}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _from_the_driver() -> dict[str, Any]:
    asked = _output(
        "nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"
    )
    if not asked:
        return {"device": "a GPU that nvidia-smi does not show", "driver": "unknown"}
    gpus = [[part.strip() for part in line.split(",")] for line in asked.splitlines()]
    return {"device": gpus[0][0], "driver": gpus[0][1], "memory_mb": gpus[0][2], "gpus": len(gpus)}


def _revision() -> dict[str, Any]:
    """Of the code, and whether files differ from it; a copy without git says so by REVISION."""
    found = _output("git", "rev-parse", "HEAD") or os.environ.get("REVISION", "")
    return {"revision": found or "unknown", "changed": bool(_output("git", "status", "--porcelain", "-uno"))}


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=20, encoding="utf-8"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
