"""Optuna's pruners, in a search."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_search import Simulation, by_number, config_of

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.mark.parametrize(("grace_period", "ended_after"), [(0, 1), (1, 2), (3, 4)])
def test_median_ends_no_trial_in_the_virtual_epochs_of_grace(
    tmp_path: Path, grace_period: int, ended_after: int
) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 4, "max_virtual_epochs": 6},
        scheduler={"name": "median", "startup_trials": 3, "grace_period": grace_period},
    )
    simulation = Simulation(tmp_path, config, by_number([0.5, 0.6, 0.7, 0.1])).run()
    assert [record.depth for record in simulation.records] == [6, 6, 6, ended_after]


def test_percentile_lets_the_best_part_go_on(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 7, "max_virtual_epochs": 2},
        scheduler={"name": "percentile", "startup_trials": 5, "percentile": 25.0},
    )
    simulation = Simulation(tmp_path, config, by_number([0.1, 0.2, 0.3, 0.4, 0.5, 0.35, 0.45])).run()
    assert [record.depth for record in simulation.records] == [2, 2, 2, 2, 2, 1, 2]


def test_a_trial_that_completed_twice_counts_once_for_the_median(tmp_path: Path) -> None:
    config = config_of(
        sampler={"name": "random"},
        budget={"trials": 3, "max_virtual_epochs": 2},
        scheduler={"name": "median", "startup_trials": 2},
    )
    curve = by_number([0.5, 0.9, 0.8])
    assert [r.depth for r in Simulation(tmp_path, config, curve).run().records] == [2, 2, 2]
    longer = Simulation(tmp_path, config, curve, limits={"max_virtual_epochs": 3}).run()
    # When trial 2 is decided, trial 1 has gone on already: with its 0.9 twice the median would be 0.85.
    assert [r.depth for r in longer.records] == [2, 3, 3]
