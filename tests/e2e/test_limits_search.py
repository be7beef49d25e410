"""Searches with limits and several objectives: killed ones end alike, and so do Ray and one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from executor_suite import ALONE
from in_process import search_locally
from simulated_search import cut_journal, outcomes
from tiny_tasks import search_config

from search.run.search import search as run_search
from search.study.reading import read_records
from search.study.trial import Outcome


def test_a_search_that_is_killed_while_it_records_a_measurement_ends_with_the_same_trials(
    tmp_path: Path,
) -> None:
    config = search_config(limits={"parameters": 700}, budget={"trials": 4, "max_virtual_epochs": 2})
    search_locally(config, results=tmp_path / "whole")
    whole = tmp_path / "whole" / "digits"
    expected = read_records(whole / "study.journal")
    assert [r.outcome for r in expected].count(Outcome.OVER_LIMIT) in (2, 3)
    lines = (whole / "study.journal").read_text(encoding="utf-8").splitlines()
    measured = [number for number, line in enumerate(lines) if '"measured"' in line]
    assert len(measured) == 4
    # Before it, after it, and between the writes of the end that follows from it.
    for writes in sorted({number + after for number in measured[:2] for after in range(5)}):
        folder = tmp_path / f"{writes}" / "digits"
        folder.mkdir(parents=True)
        cut_journal(whole, folder, writes)
        (folder / "config.yaml").write_bytes((whole / "config.yaml").read_bytes())
        search_locally(config, results=folder.parent)
        found = read_records(folder / "study.journal")
        assert outcomes(found) == outcomes(expected), writes
        assert [r.sequence for r in found] == [r.sequence for r in expected], writes


@pytest.mark.usefixtures("ray_session")
def test_ray_and_this_process_measure_and_train_alike(tmp_path: Path) -> None:
    config: dict[str, Any] = search_config(
        limits={"parameters": 1000, "flops": "1M", "latency": "10s"},
        budget={"trials": 5, "max_virtual_epochs": 3},
        resources=ALONE,
    )
    summaries = (
        search_locally(config, results=tmp_path / "here"),
        run_search(config, results=tmp_path / "there"),
    )
    here, there = (read_records(tmp_path / place / "digits" / "study.journal") for place in ("here", "there"))
    assert outcomes(here) == outcomes(there)
    assert summaries[0].over_limit == summaries[1].over_limit != {}
    for one, other in zip(here, there, strict=True):
        assert set(one.measured) == {"parameters", "flops", "latency"}
        assert {**one.measured, "latency": 0} == {**other.measured, "latency": 0}


@pytest.mark.usefixtures("ray_session")
def test_ray_and_this_process_find_the_same_front(tmp_path: Path) -> None:
    config: dict[str, Any] = search_config(
        objectives=[
            {"metric": "accuracy", "mode": "max"},
            {"metric": "valid_loss", "mode": "min"},
            {"metric": "flops", "mode": "min"},
        ],
        budget={"trials": 5, "max_virtual_epochs": 3},
        resources=ALONE,
    )
    del config["objective"]
    here = search_locally(config, results=tmp_path / "here")
    there = run_search(config, results=tmp_path / "there")
    assert [replace(best, checkpoint="") for best in here.front] == [
        replace(best, checkpoint="") for best in there.front
    ]
    assert here.front
    records = [read_records(tmp_path / place / "digits" / "study.journal") for place in ("here", "there")]
    assert outcomes(records[0]) == outcomes(records[1])
    assert [record.others for record in records[0]] == [record.others for record in records[1]]
