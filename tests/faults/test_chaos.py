"""Fault 15: killed at random moments, a search comes to what it would have come to undisturbed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos import run_with_kills
from invariants import assert_nothing_lost, assert_same_search
from programs import no_process_left
from ruamel.yaml import YAML
from tiny_tasks import search_config

from search.run.search import search as run_search

SECTIONS: dict[str, Any] = {
    "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
    "virtual_epoch": {"steps": 60},
    "budget": {"trials": 9, "max_virtual_epochs": 9},
    "checkpoint": {"keep_trials": 2},
}


def test_killed_five_times_a_search_ends_as_if_nothing_had_been(
    tmp_path: Path, program: Callable[..., Any], ray_session: None
) -> None:
    assert_unharmed(tmp_path, program, SECTIONS, num_kills=5, seed=5)


def test_killed_three_times_a_search_of_a_training_function_does_too(
    tmp_path: Path, program: Callable[..., Any], ray_session: None
) -> None:
    function = {
        "task": "own_functions:train",
        "objective": {"metric": "loss", "mode": "min"},
        "trial": {"lr": {"loguniform": [1e-3, 1e-1]}, "width": {"choice": [4, 8]}},
    }
    assert_unharmed(tmp_path, program, SECTIONS | function, num_kills=3, seed=7)


@pytest.mark.slow
def test_killed_three_times_a_search_of_lightnings_trainer_does_too(
    tmp_path: Path, program: Callable[..., Any], ray_session: None
) -> None:
    lightning = {
        "task": "lightning_functions:train",
        "objective": {"metric": "loss", "mode": "min"},
        "trial": {"lr": {"loguniform": [1e-3, 1e-1]}, "width": {"choice": [4, 8]}},
    }
    assert_unharmed(tmp_path, program, SECTIONS | lightning, num_kills=3, seed=11)


@pytest.mark.chaos
@pytest.mark.timeout(1500)
def test_killed_twenty_times_a_search_ends_as_if_nothing_had_been(
    tmp_path: Path, program: Callable[..., Any], ray_session: None
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
    sections = SECTIONS | {"virtual_epoch": {"steps": 150}, "budget": {"trials": 18, "max_virtual_epochs": 9}}
    assert_unharmed(tmp_path, program, sections, num_kills=20, seed=seed)


def assert_unharmed(
    folder: Path, program: Callable[..., Any], sections: dict[str, Any], *, num_kills: int, seed: int
) -> None:
    print(f"\nCHAOS_SEED={seed}")
    config = search_config(**sections)
    calm = run_search(config, results=folder / "calm")
    calm_run, run = Path(calm.folder), folder / "killed" / "digits"
    file = folder / "digits.yaml"
    with file.open("w") as out:
        YAML(typ="safe").dump(config, out)

    def start() -> Any:
        return program(str(file), "--results", str(run.parent))

    journal_bytes = (calm_run / "study.journal").stat().st_size
    for kill in run_with_kills(start, run, journal_bytes, num_kills, seed):
        print(kill)
    assert_same_search(calm_run, run, calm.best.checkpoint)
    assert_nothing_lost(run)
    no_process_left(folder)
