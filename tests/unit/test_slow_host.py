"""A host that is a thousand times slower than the others does not hold their trials back."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_search import RULES, Simulation, config_of, noisy

pytestmark = pytest.mark.usefixtures("no_fsync")

_SLOW = 1000.0
"""Seconds of each virtual epoch on that host; of others a little more than one."""


def slow(number: int) -> float:
    return _SLOW if number == 0 else 1 + number / 1000


@pytest.mark.parametrize("name", RULES)
def test_others_go_all_the_way_before_the_first_report_of_a_slow_host(tmp_path: Path, name: str) -> None:
    config = config_of(
        sampler={"name": "random"}, budget={"trials": 12, "max_virtual_epochs": 9}, **RULES[name]
    )
    simulation = Simulation(tmp_path, config, noisy(1), workers=3, pace=slow)
    simulation.step()
    while simulation.records[0].depth == 0:
        before = simulation.executor.now
        simulation.step()
    assert before < _SLOW / 2
    others = [record.depth for record in simulation.records[1:]]
    assert len(others) == 11, "all have begun"
    assert max(others) == 9, "one has its full length"
