"""The programs whose lines docs/own_loop.md counts: each runs, and the table is theirs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from programs import ROOT, start

from benchmarks.lines.run import BASES, HERE, PROGRAMS, code_lines, program_of, table, written

NAMES = [*BASES, *(program_of(base, name) for base in BASES for name in PROGRAMS.values())]


def shorter(text: str) -> str:
    """Two trials of two reports."""
    text = text.replace("STEPS, EVERY = 360, 40", "STEPS, EVERY = 80, 40")
    text = re.sub(r'(max_epochs=|max_t=|"max_virtual_epochs": )9', r"\g<1>2", text)
    return re.sub(r'(num_samples=|n_trials=|"trials": )8', r"\g<1>2", text)


OF_PEERS = [name for name in NAMES if "ray_tune" in name or "optuna" in name]
"""They change only with their libraries, so `make test-slow` runs them."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in OF_PEERS)) for name in NAMES]
)
def test_each_program_of_the_table_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(shorter((HERE / f"{name}.py").read_text()))
    env = {"PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    process = start(tmp_path, [sys.executable, "program.py"], cwd=tmp_path, env=env)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-3000:]


def test_the_table_of_the_documentation_is_counted() -> None:
    assert "\n".join(table()) in (ROOT / "docs" / "own_loop.md").read_text()


def test_lines_that_are_only_moved_or_taken_away_do_not_count(tmp_path: Path) -> None:
    assert written("plain", "plain") == 0
    assert all(line == line.strip() for line in code_lines("plain"))
    assert not any(line.startswith(("#", '"""')) for line in code_lines("plain_optuna"))
