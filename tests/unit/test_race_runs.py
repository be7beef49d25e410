"""A race's runs: which begin, which are lost, killed or repeated, in a simulated executor."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated_search import assert_whole, cut_journal, history, num_lines, outcomes
from tiny_tasks import search_config

from search.config.config import Config
from search.config.stages import load_config
from search.race.confirmed import confirmed_by
from search.race.plan import Candidate, RacePlan
from search.run.confirm import RaceCoordinator, RaceStudy, race_config
from search.run.executors.simulated import SimulatedExecutor
from search.study.study import JOURNAL
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import FailureKind

LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)
WIDTHS = {8: 0.9, 16: 0.8, 32: 0.6}
"""Mean value of a width of the simulated model."""


@functools.cache
def digits() -> Config:
    return load_config(search_config()).first


def plan_of(*widths: int, seeds: int = 5, error: float = 0.05) -> RacePlan:
    candidates = [
        Candidate(trial=10 + n, value=0.9, virtual_epochs=3, params={}, options={"model": {"hidden": width}})
        for n, width in enumerate(widths)
    ]
    numbers = tuple(range(1, seeds + 1))
    return RacePlan(top=3, seeds=numbers, error=error, virtual_epochs=3, candidates=tuple(candidates))


def accuracy(record: TrialRecord, virtual_epoch: int) -> float:
    """Some noise of the seed and of the configuration; the last virtual epoch is the best."""
    options = record.resolved.options
    noise = zlib.crc32(f"{options}".encode()) / 2**32
    return WIDTHS[options["model"]["hidden"]] + 0.01 * noise - 0.1 * (3 - virtual_epoch)


class Raced:
    """A race without training: the real study and coordinator, simulated workers."""

    def __init__(
        self,
        folder: Path,
        plan: RacePlan,
        *,
        curve: Callable[[TrialRecord, int], float] = accuracy,
        workers: int = 1,
        reports: int | None = None,
        **faults: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        config = race_config(digits(), plan, 0)
        executor = SimulatedExecutor(
            curve, metric="accuracy", lengths=lambda record: LENGTHS, workers=workers, **faults
        )
        self.notes: list[str] = []
        self.study = RaceStudy(folder / JOURNAL, name="race", mode="max", space=config.space)
        clock = executor.clock
        self.coordinator = RaceCoordinator(
            self.study, plan, config, note=self.notes.append, concurrency=workers, clock=clock
        )
        self.coordinator.recover()
        while (reports is None or reports > 0) and executor.step(self.coordinator):
            reports = None if reports is None else reports - 1
        if reports is None:
            self.coordinator.close(resumable=False)
        self.records = self.study.records


def test_rounds_are_paired_and_a_worse_candidate_leaves(tmp_path: Path) -> None:
    raced = Raced(tmp_path, plan_of(8, 16, 32))
    assert_whole(tmp_path, raced.records)
    runs = [(r.resolved.options["model"]["hidden"], r.params["seed"]) for r in raced.records]
    # 16 and 32 are worse by 0.1 and 0.3, and the noise is below 0.01: some two or three seeds show it.
    found = confirmed_by(plan_of(8, 16, 32), raced.records, "max")
    assert (found.status, found.winner) == ("complete", 10)
    left = {standing.trial: standing.left_after for standing in found.candidates}
    assert left[10] is None
    assert all(after in (2, 3, 4) for trial, after in left.items() if trial != 10)
    rounds = {10: 5, **{trial: after or 5 for trial, after in left.items()}}
    rounds[10] = 5
    expected = [
        (width, seed)
        for seed in range(1, 6)
        for trial, width in ((10, 8), (11, 16), (12, 32))
        if seed <= rounds[trial]
    ]
    assert runs == expected
    assert sum("leaves after" in note for note in raced.notes) == 2
    assert all(record.depth == 3 for record in raced.records)
    assert [standing.seeds for standing in found.candidates] == [
        rounds[standing.trial] for standing in found.candidates
    ]
    assert found.candidates[0].chance == pytest.approx(1.0)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_race_that_is_killed_after_any_write_ends_as_the_undisturbed_one(
    workers: int, tmp_path: Path
) -> None:
    plan, whole = plan_of(8, 16, 32), tmp_path / "whole"
    reference = Raced(whole, plan, workers=workers)
    assert_whole(whole, reference.records)
    confirmed = confirmed_by(plan, reference.records, "max")
    for lines in range(1, num_lines(whole), 7 if workers == 1 else 11):
        folder = cut_journal(whole, tmp_path / f"cut{lines}", lines, extra_bytes=lines % 3 * 10)
        resumed = Raced(folder, plan, workers=workers)
        if workers == 1:
            assert outcomes(resumed.records) == outcomes(reference.records), f"killed after write {lines}"
            assert history(folder) == history(whole), f"killed after write {lines}"
        assert confirmed_by(plan, resumed.records, "max") == confirmed, f"killed after write {lines}"


def test_a_run_that_diverges_counts_as_worst_and_is_told(tmp_path: Path) -> None:
    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        best = record.resolved.options["model"]["hidden"] == 8
        return float("nan") if best and record.params["seed"] == 2 else accuracy(record, virtual_epoch)

    plan = plan_of(8, 16)
    raced = Raced(tmp_path, plan, curve=curve)
    found = confirmed_by(plan, raced.records, "max")
    assert (found.winner, [s.left_after for s in found.candidates]) == (11, [None, 2])
    loser = found.candidates[1]
    assert loser.broken == {"2": "diverged: virtual epoch 1, loss is nan"}
    assert loser.values["2"] is None
    assert "trial 10 with seed 2 diverged: virtual epoch 1, loss is nan" in found.notes


def test_a_lost_run_is_tried_again_from_its_checkpoint(tmp_path: Path) -> None:
    def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        return FailureKind.DIED if (number, virtual_epoch, attempt) == (3, 2, 0) else None

    plan = plan_of(8, 16)
    disturbed = Raced(tmp_path / "a", plan, faults=faults)
    calm = Raced(tmp_path / "b", plan)
    assert confirmed_by(plan, disturbed.records, "max") == confirmed_by(plan, calm.records, "max")


def test_more_seeds_and_other_candidates_keep_the_runs_that_there_are(tmp_path: Path) -> None:
    Raced(tmp_path, plan_of(8, 16, seeds=2))
    more = Raced(tmp_path, plan_of(8, 16, seeds=3))
    assert [record.params["seed"] for record in more.records] == [
        1,
        1,
        2,
        2,
        *([3, 3][: len(more.records) - 4]),
    ]
    other = plan_of(32, 8, seeds=2)
    raced = Raced(tmp_path, other)
    new = raced.records[len(more.records) :]
    assert [(r.resolved.options["model"]["hidden"], r.params["seed"]) for r in new] == [(32, 1), (32, 2)]
    assert confirmed_by(other, raced.records, "max").winner == 11
