"""A search of one trial at a time, to compare one that was disturbed with one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from faulty_runs import Watching
from in_process import search_locally
from invariants import assert_nothing_lost, assert_same_search
from tiny_tasks import search_config

from search.run.outcome.summary import Summary

ONE_BY_ONE: dict[str, Any] = {
    "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
    "budget": {"trials": 6, "max_virtual_epochs": 3},
}
"""One trial at a time, so that two searches can be compared."""


def assert_goes_on_as_if_nothing_had_been(run: Path, calm: Summary) -> Watching:
    watching = Watching()
    summary = search_locally(search_config(**ONE_BY_ONE), results=run.parent, reporter=watching)
    assert summary.status == "complete"
    assert_same_search(Path(calm.folder), run, calm.best.checkpoint)
    assert_nothing_lost(run)
    return watching
