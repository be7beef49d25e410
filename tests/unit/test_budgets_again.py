"""Budgets of compute where a search goes on, where nothing is known yet, and where no trial has a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import search_config

from search.config.document import read_values
from search.config.stages import load_config
from search.run.changes import record_config
from search.run.folder import RunFolder
from search.run.reporter import ProgressReporter
from search.run.search import search as run_search

pytestmark = pytest.mark.usefixtures("no_fsync")
LENGTH = 9


class Notes(ProgressReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


# --- a limit of trials that a run began with


def short(**budget: Any) -> dict[str, Any]:
    return search_config(budget={"max_virtual_epochs": 1, **budget}, virtual_epoch={"steps": 1})


def test_a_run_that_began_with_a_number_of_trials_keeps_it_until_it_is_lifted(tmp_path: Path) -> None:
    run_search(short(trials=2, steps=4), results=tmp_path, local=True)
    again = Notes()
    summary = run_search(short(steps=4), results=tmp_path, local=True, reporter=again)
    assert summary.trials == 2
    [line] = [line for line in again.lines if "budget.trials" in line]
    assert "the limit of 2 trials that this search began with stands" in line
    assert read_values(tmp_path / "digits" / "config.yaml")["budget"]["trials"] == 2
    lifted = run_search(
        short(steps=4), overrides=["budget.trials=null"], results=tmp_path, local=True, reporter=again
    )
    assert lifted.trials == 4


def test_the_stages_of_a_run_keep_the_number_of_trials_that_it_began_with(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "digits")
    folder.create()
    stages = [{"name": "only"}]
    record_config(load_config({**short(trials=2, steps=4), "stages": stages}), folder, growing=False)
    folder.stages_path.mkdir()
    for budget, kept in (({}, 2), ({"trials": None}, None)):
        now = load_config({**short(steps=4, **budget), "stages": stages})
        record_config(now, folder, growing=False)
        assert read_values(folder.config)["budget"]["trials"] == kept
