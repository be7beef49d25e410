"""A search on Ray with a budget in compute, and with more of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_tasks import search_config

from search.errors import ConfigError
from search.run.disk.folder import RunFolder
from search.run.outcome.summary_file import read_summary
from search.run.search import resume
from search.run.search import search as run_search
from search.study.reading import read_records
from search.study.trial import best_record


def test_a_search_buys_full_trainings_and_ends_with_a_fully_trained_best(
    ray_session: None, tmp_path: Path
) -> None:
    config = search_config(budget={"full_trainings": 2, "max_virtual_epochs": 9})
    for trainings in (2, 3):
        overrides = [f"budget.full_trainings={trainings}"]
        run = tmp_path / "digits"
        summary = resume(run, overrides=overrides) if run.exists() else run_search(config, results=tmp_path)
        assert summary.reason == "compute limit; the best trial is fully trained"
        assert 9 * (trainings - 1) < summary.virtual_epochs <= 9 * trainings
        best = best_record(read_records(run / "study.journal"), "max")
        assert best is not None
        assert best.depth == 9
        written = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        assert written["best_fully_trained"] is True
        assert written["budget_spent"] == {
            "full_trainings": round(summary.virtual_epochs / (9 * trainings), 4)
        }
        assert read_summary(RunFolder(run)).budget_spent == written["budget_spent"]
    with pytest.raises(ConfigError, match=r"received 1; must be above .*, the compute of all trials so far"):
        resume(run, overrides=["budget.full_trainings=1"])
