"""The time that a search is said to take still."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_search import Simulation, config_of

from search.screen.pace import Pace

pytestmark = pytest.mark.usefixtures("no_fsync")

START = 60.0
"""Seconds until the first worker trains."""


def begun(folder: Path, workers: int) -> tuple[Simulation, Pace]:
    """A search of 40 virtual epochs, a second each, of which some have been reported after a slow start."""
    config = config_of(
        sampler={"name": "random"},
        scheduler={"name": "none"},
        budget={"full_trainings": 8, "max_virtual_epochs": 5},
    )
    simulation, pace = Simulation(folder, config, workers=workers, pace=lambda number: 1.0), Pace()
    simulation.executor.now = START
    return simulation, pace


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_what_the_start_takes_is_not_expected_again(tmp_path: Path, workers: int) -> None:
    simulation, pace = begun(tmp_path, workers)
    estimates = []
    while simulation.executor.step(simulation.coordinator):
        pace.reported(simulation.coordinator)
        done = simulation.coordinator.study.records
        left = (40 - sum(record.depth for record in done)) / workers
        estimates.append((pace.seconds_left(simulation.coordinator), left))
    known = [(found, left) for found, left in estimates if found is not None]
    # Nobody knows it before each worker has reported twice.
    assert [found for found, _ in estimates[: 2 * workers - 1]] == [None] * (2 * workers - 1)
    assert len(known) >= 40 - 2 * workers
    # Workers in step report four at once, so that a second more or less has gone by.
    assert all(0.6 * left - 1 <= found <= 1.6 * left + 1 for found, left in known)


def test_the_time_left_is_no_longer_than_the_limit_of_time(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    simulation, pace = Simulation(tmp_path, config, limits={"seconds": 8.0}), Pace()
    assert pace.seconds_left(simulation.coordinator) == 8.0
    for _ in range(5):
        simulation.step()
        pace.reported(simulation.coordinator)
    left = pace.seconds_left(simulation.coordinator)
    assert left is not None
    assert 2.5 < left < 3.5
