"""Which checkpoints of ended trials must be there: those of as many of the best as every session has kept."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from in_process import search_locally
from run_files import best_of, only
from tiny_tasks import search_config

import search
from search.commands.verify import verify
from search.run.outcome.summary import Summary
from search.study.study import KEPT


@pytest.fixture
def run(finished_run: Summary, tmp_path: Path) -> Path:
    """A copy of a finished run, to damage."""
    return Path(shutil.copytree(finished_run.folder, tmp_path / "run"))


def test_checkpoints_of_ended_trials_that_are_not_among_the_best_may_be_missing(run: Path) -> None:
    for place in range(5, 9):  # keep_trials is 5
        shutil.rmtree(best_of(run, place)[1].parent)
    assert verify(run).damages == []


def test_a_missing_checkpoint_of_one_of_the_best_is_named_unless_clean_has_taken_it(run: Path) -> None:
    record, checkpoint = best_of(run, 3)
    shutil.rmtree(checkpoint)
    damage = only(verify(run))
    assert (damage.path, damage.what) == (str(checkpoint.relative_to(run)), "is missing")
    assert damage.cost == f"trial {record.number} cannot be exported"
    shutil.copytree(best_of(run)[1], checkpoint)  # of another trial, which verify would name too
    search.clean(run, keep_trials=1)
    assert verify(run).damages == []


def test_checkpoints_that_a_session_with_fewer_kept_trials_has_removed_are_not_missed(tmp_path: Path) -> None:
    def config(trials: int, keep_trials: int) -> dict[str, Any]:
        return search_config(
            budget={"trials": trials, "max_virtual_epochs": 2},
            checkpoint={"keep_trials": keep_trials},
            scheduler={"name": "none"},
        )

    search_locally(config(3, 1), results=tmp_path)
    summary = search_locally(config(4, 3), results=tmp_path)
    assert summary.status == "complete"
    assert verify(summary.folder).damages == []


def test_in_a_run_that_has_not_recorded_how_many_are_kept_only_the_best_is_missed(run: Path) -> None:
    journal = run / "study.journal"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if KEPT not in line), encoding="utf-8")
    shutil.rmtree(best_of(run, 1)[1])
    assert verify(run).damages == []
    shutil.rmtree(best_of(run)[1])
    assert only(verify(run)).what == "is missing"
