"""The simulator of the benchmarks, and the recorded tables, of which a claim is made."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.efficiency.curve_tables import LENGTH, PROBLEMS, Table
from benchmarks.efficiency.methods_own import simulate_own
from benchmarks.efficiency.priors import RESULTS, SHARES, TABLES, VARIANTS, prior, show, with_priors
from benchmarks.efficiency.simulate import Job, simulate
from search.run.coordinator import Coordinator


class Fixed:
    """Trials with given parameters, in turn, each paused after the virtual epoch that `ends` names."""

    def __init__(self, params: list[Mapping[str, Any]], ends: Mapping[int, int]) -> None:
        self.waiting = [Job(number, item) for number, item in enumerate(params)]
        self.ends = dict(ends)
        self.reports: list[tuple[int, int, float]] = []

    def next_job(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting else None

    def report(self, trial: int, virtual_epoch: int, value: float) -> bool:
        self.reports.append((trial, virtual_epoch, value))
        if self.ends.get(trial) == virtual_epoch:
            self.waiting.append(Job(trial, {}, virtual_epoch))
            return False
        return True


@pytest.fixture(scope="module")
def table() -> Table:
    return Table(PROBLEMS["cancer_mlp"])


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_table_holds_what_it_claims(name: str) -> None:
    table = Table(PROBLEMS[name])
    assert len(table.params) >= 500
    assert table.values.shape == (len(table.params), LENGTH)
    assert np.isfinite(table.values).all()
    for params in table.params[::50]:
        assert table.space.resolve(params).params == params
    # Some are better than the best that counts, and half of the random ones worse than the median.
    better = (table.sign * table.values).max(1) >= table.sign * table.best
    assert 0.005 < better.mean() < 0.04
    assert table.regret(table.median) == pytest.approx(100)
    assert table.regret(table.best) == 0


def test_recorded_parameters_have_their_own_curve(table: Table) -> None:
    assert [table.row(params) for params in table.params[::100]] == list(range(0, len(table.params), 100))


def test_no_two_trials_have_the_same_curve(table: Table) -> None:
    params = table.params[0]
    first = table.row(params)
    second = table.row(params, {first})
    assert second != first
    assert table.params[second]["optimizer"] == params["optimizer"]
    method = Fixed([params, params], {})
    simulate(table, method, budget=2 * LENGTH, seed=0)
    curves = [[v for t, _, v in method.reports if t == trial] for trial in range(2)]
    assert curves == [table.values[first].tolist(), table.values[second].tolist()]


def test_a_paused_trial_goes_on_with_its_own_curve_and_is_paid_for_once(table: Table) -> None:
    method = Fixed(table.params[:1], {0: 9})
    trace = simulate(table, method, budget=100, seed=0)
    assert [virtual_epoch for _, virtual_epoch, _ in method.reports] == list(range(1, LENGTH + 1))
    assert [value for *_, value in method.reports] == table.values[0].tolist()
    assert trace.costs == list(range(1, LENGTH + 1))
    assert trace.best_at(0.5) is None
    assert trace.best_at(9.5) == table.values[0, :9].min()


def test_workers_train_side_by_side(table: Table) -> None:
    method = Fixed(table.params[:8], {})
    simulate(table, method, budget=4 * LENGTH, seed=0, num_workers=4)
    assert {trial for trial, *_ in method.reports[:8]} == {0, 1, 2, 3}
    assert max(trial for trial, *_ in method.reports[: 3 * LENGTH]) == 3


def test_a_simulated_search_is_that_of_the_program_and_repeats(table: Table, tmp_path: Path) -> None:
    def searched(folder: str, seed: int) -> tuple[list[float], Coordinator]:
        trace, coordinator = simulate_own(table, tmp_path / folder, budget=60, seed=seed, sections={})
        return trace.bests, coordinator

    first, coordinator = searched("first", 0)
    assert searched("again", 0)[0] == first
    assert searched("other", 1)[0] != first
    records = coordinator.study.records
    assert sum(record.depth for record in records) >= 60 - 4
    assert len(records) > 15
    assert max(record.depth for record in records) >= 9


PROGRAMS = """
efficiency.record_curves efficiency.run loop.accumulation loop.epochs_or_iterations loop.run
overhead.growth overhead.memory overhead.run overhead.start
"""


@pytest.mark.parametrize("name", PROGRAMS.split())
def test_each_program_can_be_imported_and_explains_how_to_run_it(name: str) -> None:
    program = importlib.import_module(f"benchmarks.{name}")
    assert f"python -m benchmarks.{name}" in (program.__doc__ or "")


def test_priors_of_the_benchmark_are_recorded_configurations_of_their_kind(table: Table) -> None:
    best = (table.sign * table.values[: table.problem.num_random]).max(1)
    places = {
        kind: [
            float((best > best[table.params.index(prior(table, kind, seed))]).mean()) for seed in range(20)
        ]
        for kind in SHARES
    }
    for kind, (low, high) in SHARES.items():
        assert all(low - 0.01 <= place <= high for place in places[kind])
    params = prior(table, "good", 0)
    space = with_priors(table, params, "high").space
    assert space.prior_point == params
    assert table.space.prior_point == {}


def test_the_documented_table_of_priors_is_that_of_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results) == set(TABLES)
    for rows in results.values():
        assert set(rows) == set(VARIANTS)
        assert {len(by_seed) for by_seed in rows.values()} == {10}
    show(results)
    page = Path(__file__).parents[2] / "docs" / "priors_and_fidelity.md"
    assert capsys.readouterr().out.strip() in page.read_text(encoding="utf-8")
