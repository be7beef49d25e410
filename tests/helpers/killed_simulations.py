"""Simulated searches that are killed after any of their writes, and go on from what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decisions import assert_decisions
from simulated_search import Simulation, assert_whole, cut_journal, history, num_lines, outcomes


def assert_alike_when_killed(tmp_path: Path, config: Any, stride: int, **options: Any) -> None:
    """Assert that a search killed after every `stride`-th write ends as the undisturbed one."""
    whole = tmp_path / "whole"
    reference = Simulation(whole, config, **options).run()
    assert_whole(whole, reference.records)
    assert_decisions(whole, config)
    for lines in range(1, num_lines(whole), stride):
        folder = cut_journal(whole, tmp_path / f"cut{lines}", lines, extra_bytes=lines % 3 * 10)
        resumed = Simulation(folder, config, **options).run()
        assert outcomes(resumed.records) == outcomes(reference.records), f"killed after write {lines}"
        assert history(folder) == history(whole), f"killed after write {lines}"
