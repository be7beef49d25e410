"""What `init` writes for each kind of data is checked and searched as it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import init_folders as made
import pytest
from patience import PATIENCE

ROWS = made.numbers()
KINDS: dict[str, Callable[[Path], Any]] = {
    "masks": made.listed,
    "classes": made.classes,
    "shards": partial(made.shards, masks=True, names=["a-000.tar", "a-001.tar", "a-002.tar"]),
    "table": lambda root: made.table(root / "a.csv", "a,b,price", [[*r, r[0] + 0.5] for r in ROWS]),
}
SHORT = ["budget.trials=1", "budget.max_virtual_epochs=1", "virtual_epoch={steps: 2}"]


def typed(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "search", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_the_written_configuration_is_accepted_and_searched(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "my data")
    shown = typed(tmp_path, "init", "my data")
    assert shown.splitlines()[-2:] == ["  tune-search check my-data.yaml", "  tune-search my-data.yaml"]
    typed(tmp_path, "check", "my-data.yaml")
    typed(tmp_path, "my-data.yaml", "--local", *(word for each in SHORT for word in ("--set", each)))
    assert (tmp_path / "results/my-data/summary.json").exists()
