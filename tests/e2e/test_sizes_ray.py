"""Trials of different sizes on Ray: side by side, each in processes of its size, and large ones get room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faulty_runs import Watching
from sized_tasks import seen
from tiny_tasks import search_config

from search.run.search import search as run_search
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import Outcome

pytestmark = pytest.mark.usefixtures("ray_session")  # of two CPUs


def searched(folder: Path, widths: list[int], small: float, large: float, **sections: Any) -> list[str]:
    """A search of trials with these widths in turn, of which 8 takes so many CPUs and 16 more; its lines."""
    trial = {
        "data": {"seen": str(folder / "seen")},
        "model": {"hidden": {"choice": [8, 16]}},
        "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 0.1]}},
        "batch_size": 16,
    }
    points = [
        {"model.hidden": width, "optimizer.lr": 0.01 + 0.001 * number} for number, width in enumerate(widths)
    ]
    where = {"model.hidden": {"16": {"cpus_per_trial": large}}}
    watching = Watching()
    config = search_config(
        name="sized",
        trial=trial,
        sampler={"name": "random", "points_to_evaluate": points},
        scheduler={"name": "none"},
        resources={"cpus_per_trial": small, "where": where},
        **sections,
    )
    assert run_search(config, results=folder, reporter=watching).status == "complete"
    return watching.lines


def test_trials_of_two_sizes_run_at_once_and_never_in_each_others_processes(tmp_path: Path) -> None:
    budget = {"trials": 4, "max_virtual_epochs": 1}
    lines = searched(tmp_path, [8, 16] * 2, 0.5, 1.5, task="sized_tasks:TogetherTask", budget=budget)
    trained = seen(tmp_path / "seen")
    assert sorted(width for _, _, width in trained) == [8, 8, 16, 16]
    small, large = ({process for process, _, width in trained if width == own} for own in (8, 16))
    assert not small & large
    told = (
        "trials differ in what they take; at once there are up to 4 with other values, 1 with model.hidden 16"
    )
    assert told in lines


def test_a_small_trial_makes_room_for_a_large_one_after_its_virtual_epoch_and_nobody_takes_that(
    tmp_path: Path,
) -> None:
    budget = {"trials": 3, "max_virtual_epochs": 2}
    searched(tmp_path, [8, 16, 8], 1, 2, task="sized_tasks:SizedTask", budget=budget)
    records = read_records(tmp_path / "sized" / JOURNAL)
    assert [record.outcome for record in records] == [Outcome.COMPLETED] * 3
    assert not any(record.failures for record in records)
    trained = [(threads, width) for _, threads, width in seen(tmp_path / "seen")]
    assert trained == [(1, 8), (2, 16), (2, 16)] + [(1, 8)] * 3, "each virtual epoch once, with its threads"
