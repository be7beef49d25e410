"""What holds of a search whichever executor runs its jobs: one suite, and an adapter for each executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from decisions import assert_decisions
from faulty_runs import interrupted_after
from invariants import DIFFERED, assert_best_is_there, assert_told_once
from simulated_search import Simulation, outcomes
from tiny_tasks import search_config

from search.config.stages import load_config
from search.run.events import EventKind
from search.run.search import search as run_search
from search.study.reading import read_records
from search.study.trial import Outcome, TrialRecord
from trainables.process.failure import FailureKind

Run = Callable[..., list[TrialRecord]]
"""Runs the search of a configuration in a folder, or goes on with it; stops after so many reports."""

ALONE = {"cpus_per_trial": 1, "concurrent_trials": 1}
SPACE: dict[str, Any] = {
    "model": {"hidden": {"choice": [8, 16, 32]}},
    "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}},
    "batch_size": 16,
}


def halving(**sections: Any) -> dict[str, Any]:
    """A search with pauses and promotions, one trial at a time."""
    return search_config(
        **{
            "trial": SPACE,
            "budget": {"trials": 5, "max_virtual_epochs": 4},
            "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 2},
            "resources": ALONE,
            **sections,
        }
    )


def failing() -> dict[str, Any]:
    """A search whose trials raise in the 2nd virtual epoch of each attempt, in the 1st, and never."""
    model = {"hidden": 8, "fail_at": {"choice": [2, 1, 0]}}
    trial = {"model": model, "optimizer": {"name": "adamw", "lr": 0.01}, "batch_size": 16}
    return halving(
        task="tiny_tasks:FailingTask",
        trial=trial,
        sampler={"name": "grid"},
        scheduler={"name": "none"},
        budget={"trials": 3, "max_virtual_epochs": 3},
        max_failures=1,
    )


def trained(**executor: Any) -> Run:
    """Searches whose trials are trained; `executor` are arguments of `search.search`."""

    def run(folder: Path, config: dict[str, Any], stop_after: int | None = None) -> list[TrialRecord]:
        reporter = interrupted_after(stop_after)
        run_search(config, results=folder, reporter=reporter, **executor)
        texts = [event.text for event in reporter.events if event.kind is EventKind.MESSAGE]
        assert not [text for text in texts if DIFFERED in text]
        return read_records(folder / "digits" / "study.journal")

    return run


def simulated(folder: Path, config: dict[str, Any], stop_after: int | None = None) -> list[TrialRecord]:
    """Searches whose trials are made up; FailingTask fails where it would."""
    folder.mkdir(exist_ok=True)

    def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        fail_at = simulation.records[number].resolved.params.get("model.fail_at", 0)
        fails = virtual_epoch == fail_at + attempt * (fail_at - 1)
        return FailureKind.ERROR if fails else None

    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        return float(record.resolved.options["model"]["hidden"]) + virtual_epoch - record.number / 100

    simulation = Simulation(folder / "digits", load_config(config).first, curve, faults=faults)
    simulation.run(stop_after)
    return simulation.records


class ExecutorSuite:
    """Tests of one executor: a subclass has a fixture `run`."""

    checkpoints = True
    """Its trials leave any."""

    def test_every_trial_is_told_once_with_all_of_its_virtual_epochs(self, run: Run, tmp_path: Path) -> None:
        records = run(tmp_path, halving())
        assert_told_once(tmp_path / "digits", records)
        assert_decisions(tmp_path / "digits", load_config(halving()).first)
        assert sorted({record.depth for record in records}) == [1, 2, 4]
        if self.checkpoints:
            assert_best_is_there(tmp_path / "digits", load_config(halving()).first, records)

    def test_a_search_that_is_stopped_in_the_middle_goes_on_as_if_it_had_not_been(
        self, run: Run, tmp_path: Path
    ) -> None:
        whole = outcomes(run(tmp_path / "whole", halving()))
        for reports in (3, 6):
            stopped = run(tmp_path / f"{reports}", halving(), stop_after=reports)
            assert sum(record.depth for record in stopped) == reports
            assert outcomes(run(tmp_path / f"{reports}", halving())) == whole

    def test_a_trial_that_fails_is_tried_again_as_often_as_configured(self, run: Run, tmp_path: Path) -> None:
        records = run(tmp_path, failing())
        ends = {r.resolved.params["model.fail_at"]: (r.outcome, r.depth, len(r.failures)) for r in records}
        assert ends == {
            2: (Outcome.FAILED, 2, 2),
            1: (Outcome.FAILED, 0, 2),
            0: (Outcome.COMPLETED, 3, 0),
        }
        assert_told_once(tmp_path / "digits", records)
