"""What a search compares of the data that tables and tasks of one's own read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from changing_data import images_config, table
from in_process import ACCEPT, refused, resume_locally, search_locally
from tiny_tasks import search_config

import search
from search.screen.texts.summary import check_text


def test_a_table_with_more_rows_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    table(file, 40)
    config = {
        **images_config(tmp_path),
        "task": "regression",
        "objective": {"metric": "valid_loss", "mode": "min"},
        "trial": {"data": {"source": "csv", "path": str(file), "target": "target"}, "batch_size": 4},
    }
    run = Path(search_locally(config, results=tmp_path).folder)
    os.utime(file, (0, 0))
    assert resume_locally(run).status == "complete"
    table(file, 60)
    assert re.search(
        r"table, whose rows are split anew .*: 1 changed \(rows.csv: \d+ bytes before", refused(run)
    )


@pytest.fixture
def own(tmp_path: Path) -> dict[str, Any]:
    """A search of a task of one's own that reads files."""
    (tmp_path / "rows").write_text("1")
    (tmp_path / "weights.bin").write_bytes(b"1")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.wav").write_bytes(b"1")
    paths = {name: str(tmp_path / name) for name in ("rows", "root")}
    trial = {
        "data": {**paths, "version": str(tmp_path / "rows")},
        "model": {"weights": str(tmp_path / "weights.bin")},
    }
    budget = {"trials": 2, "max_virtual_epochs": 1}
    return search_config(trial={**search_config()["trial"], **trial}, budget=budget)


@pytest.mark.parametrize(
    ("task", "change", "told"),
    [
        ("FileTask", "rows", "arrays that load_data returned: 1 changed (x)"),
        ("FileTask", "weights.bin", "files that options name: 1 changed"),
        ("TextTask", "rows", "data: 1 changed (data_fingerprint)"),
        ("ListTask", "root/b.wav", "recordings: 1 added (b.wav)"),
        ("ListTask", "root/a.wav", "recordings: 1 changed (a.wav)"),
        ("ElsewhereTask", "weights.bin", "files that options name: 1 changed"),
    ],
)
def test_what_a_task_of_ones_own_reads_is_compared(
    tmp_path: Path, own: dict[str, Any], task: str, change: str, told: str
) -> None:
    config = own | {"task": f"changing_data:{task}"}
    run = Path(search_locally(config, results=tmp_path).folder)
    assert resume_locally(run).status == "complete"
    (tmp_path / change).write_text("2")
    assert told in refused(run)
    # What was prepared for the data of before is not used any more, which FileTask asserts.
    done = resume_locally(run, overrides=["budget.trials=3"], **ACCEPT)
    assert done.failures == {}
    assert search.export(run).other_data == ()
    assert search.export(run, trial=0, out=tmp_path / "old").other_data


def test_check_says_that_data_read_elsewhere_are_not_compared(own: dict[str, Any]) -> None:
    text = check_text(search.check(own | {"task": "changing_data:ElsewhereTask"}))
    assert "the data will not be compared when a search continues: changing_data:ElsewhereTask has no" in text
    assert search.check(own | {"task": "changing_data:FileTask"}).data_changes == ()


def test_a_fingerprint_that_is_none_is_refused(tmp_path: Path, own: dict[str, Any]) -> None:
    with pytest.raises(
        TypeError, match=r"WrongTask.data_fingerprint\(\) returned a list; must be what of_files"
    ):
        search_locally(own | {"task": "changing_data:WrongTask"}, results=tmp_path)
