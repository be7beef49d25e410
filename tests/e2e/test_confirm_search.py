"""A search on Ray whose race over seeds is killed and continued by the same command."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from in_process import search_locally
from patience import PATIENCE
from programs import PROGRAM, ended, no_process_left, start, wait_for_line
from ruamel.yaml import YAML

import search

CONFIG: dict[str, Any] = {
    "name": "raced",
    "task": "race_functions:noisy",
    "objective": {"metric": "loss", "mode": "min"},
    "virtual_epoch": {"steps": 2},
    "budget": {"trials": 3, "max_virtual_epochs": 3},
    "scheduler": {"name": "none"},
    "sampler": {"name": "grid"},
    "resources": {"cpus_per_trial": 1, "concurrent_trials": 2},
    "trial": {"lr": {"choice": [0.5, 0.1, 0.101]}},
    "confirm": {"top": 3, "seeds": 4},
}


def test_a_race_on_ray_that_is_killed_goes_on_and_ends_as_one_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("raced.yaml").open("w", encoding="utf-8") as out:
        YAML(typ="safe").dump(CONFIG, out)
    command = [*PROGRAM, "raced.yaml", "--plain"]
    first = start(tmp_path, command, cwd=tmp_path)
    wait_for_line(first, "run 3 is of trial", 240.0)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(timeout=PATIENCE)
    no_process_left(tmp_path)
    output = ended(start(tmp_path, command, cwd=tmp_path), 0)
    calm = search_locally(CONFIG, results=tmp_path / "calm").confirmed
    found = search.Run("results/raced").summary.confirmed
    assert found == calm
    assert found is not None
    assert found.status == "complete"
    assert f"winner of the race, trial {found.winner}: loss" in output
    assert search.export("results/raced").trial == found.winner
