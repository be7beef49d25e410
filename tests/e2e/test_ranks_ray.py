"""A trial of several processes on Ray: they are used again, and the death of one ends one job alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import Watching
from rank_processes import wait_until
from tiny_tasks import search_config

from search.errors import ConfigError, RefusedError
from search.run.events import Event, EventKind
from search.run.search import search as run_search

TWO: dict[str, Any] = {
    "task": "rank_tasks:SharedDigits",
    "budget": {"trials": 3, "max_virtual_epochs": 3},
    "resources": {"workers_per_trial": 2},
}


def parent_of(process: int) -> int:
    for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("PPid:"):
            return int(line.split()[1])
    raise AssertionError(f"process {process} has no parent")


def ranks_beside(process: int, parent: int) -> list[int]:
    """The processes of other ranks that the parent of a trial's own one, Ray's raylet, has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_rank = (folder / "cmdline").read_bytes().startswith(b"ray::RankActor")
            if is_rank and parent_of(int(folder.name)) == parent:
                found.append(int(folder.name))
        except (OSError, AssertionError):  # it has ended meanwhile
            continue
    return [number for number in found if number != process]


@pytest.mark.usefixtures("ray_session")
def test_a_killed_rank_is_retried_and_processes_are_used_again(tmp_path: Path) -> None:
    reports: list[dict[str, Any]] = []
    retried: list[str] = []
    parents: list[int] = []

    def act(event: Event) -> None:
        if event.kind is EventKind.RETRIED:
            retried.append(event.text)
        if event.kind is not EventKind.REPORTED:
            return
        reports.append(dict(event.metrics))
        if len(reports) == 1:
            parents.append(parent_of(event.metrics["process"]))
            (rank,) = ranks_beside(event.metrics["process"], parents[0])
            os.kill(rank, signal.SIGKILL)

    summary = run_search(search_config(**TWO), results=tmp_path, reporter=Watching(act))
    assert summary.status == "complete"
    assert len(retried) == 1
    assert "the process of rank 1 of 2 died" in retried[0]
    # One process before the death, and one for all jobs after it.
    assert len({report["process"] for report in reports}) == 2
    assert len(reports) == 5
    wait_until(lambda: not ranks_beside(0, parents[0]))


@pytest.mark.parametrize(
    ("sections", "cause"),
    [
        ({"task": "tiny_tasks:DigitsTask"}, "cannot put the parts together"),
        ({"trial": {"batch_size": 1}}, "batch_size is 1, and the 2 processes of a trial share each batch"),
        ({}, "leave out --local, or give --set resources.workers_per_trial=1"),
    ],
)
def test_what_is_not_for_several_processes_is_refused_before_the_search(
    tmp_path: Path, sections: dict[str, Any], cause: str
) -> None:
    with pytest.raises(RefusedError, match=cause):
        run_search(search_config(**{**TWO, **sections}), results=tmp_path, local=True)


def test_a_training_function_of_two_processes_is_refused() -> None:
    from search.config.stages import load_config

    config = search_config(
        **{**TWO, "task": "race_functions:noisy"},
        trial={"lr": {"loguniform": [0.1, 0.2]}},
        objective={"metric": "loss", "mode": "min"},
    )
    with pytest.raises(ConfigError, match="workers_per_trial: received 2, and noisy is a training function"):
        load_config(config)
