"""Trials of different sizes on Ray: side by side, each in processes of its size, and large ones get room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from patience import PATIENCE
from programs import HELPERS, write_config
from sized_tasks import seen

from search.study.study import JOURNAL, read_records
from search.study.trial import Outcome

_SEARCH = """
import sys
import ray
import search
ray.init("local", num_cpus=int(sys.argv[3]), include_dashboard=False, log_to_driver=False)
search.search(sys.argv[1], results=sys.argv[2])
"""


def searched(folder: Path, cpus: int, widths: list[int], **sections: Any) -> str:
    """A search of trials with these widths in turn, on a Ray with so many CPUs; what it has printed."""
    trial = {
        "data": {"seen": str(folder / "seen")},
        "model": {"hidden": {"choice": [8, 16]}},
        "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 0.1]}},
        "batch_size": 16,
    }
    points = [
        {"model.hidden": width, "optimizer.lr": 0.01 + 0.001 * number} for number, width in enumerate(widths)
    ]
    config = write_config(
        folder,
        name="sized",
        trial=trial,
        sampler={"name": "random", "points_to_evaluate": points},
        scheduler={"name": "none"},
        resources={"where": {"model.hidden": {"16": {"cpus_per_trial": 2}}}},
        **sections,
    )
    command = [sys.executable, "-c", _SEARCH, str(config), str(folder), str(cpus)]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=HELPERS, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_trials_of_two_sizes_run_at_once_with_their_threads_and_never_in_each_others_processes(
    tmp_path: Path,
) -> None:
    budget = {"trials": 6, "max_virtual_epochs": 1}
    printed = searched(tmp_path, 3, [8, 16] * 3, task="sized_tasks:TogetherTask", budget=budget)
    trained = seen(tmp_path / "seen")
    assert sorted((threads, width) for _, threads, width in trained) == [(1, 8)] * 3 + [(2, 16)] * 3
    small, large = ({process for process, _, width in trained if width == own} for own in (8, 16))
    assert not small & large
    assert "up to 3 with other values, 1 with model.hidden 16" in printed


def test_small_trials_make_room_for_a_large_one_after_their_virtual_epoch_and_go_on_afterwards(
    tmp_path: Path,
) -> None:
    budget = {"trials": 4, "max_virtual_epochs": 2}
    searched(tmp_path, 2, [8, 16, 8, 8], task="sized_tasks:SizedTask", budget=budget)
    records = read_records(tmp_path / "sized" / JOURNAL)
    assert [record.outcome for record in records] == [Outcome.COMPLETED] * 4
    assert not any(record.failures for record in records)
    widths = [width for _, _, width in seen(tmp_path / "seen")]
    assert widths == [8, 16, 16] + [8] * 5, "each virtual epoch once, and the large trial after one of them"
