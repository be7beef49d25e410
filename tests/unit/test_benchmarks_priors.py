"""The benchmark of priors: what it takes for one, and that the documented table is that of its results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.efficiency.priors import (
    CHOSEN,
    RESULTS,
    SHARES,
    prior,
    show,
    variants_of,
    with_priors,
    with_recipe,
)
from benchmarks.efficiency.problems import PROBLEMS
from benchmarks.efficiency.recorded import Kind, Recorded, bounded


def test_priors_are_recorded_configurations_of_their_kind() -> None:
    problem = PROBLEMS["diabetes_mlp"]
    recorded = Recorded.load(problem)
    rows = recorded.rows(Kind.RANDOM)
    best = (problem.sign * bounded(recorded.values[rows], problem)).max(1)
    params = [recorded.params[row] for row in rows]
    for kind, (low, high) in SHARES.items():
        for seed in range(20):
            place = float((best > best[params.index(prior(recorded, problem, kind, seed))]).mean())
            assert low - 0.01 <= place <= high


def test_every_value_of_a_configuration_becomes_the_prior_of_its_domain() -> None:
    problem = PROBLEMS["diabetes_mlp"]
    params = prior(Recorded.load(problem), problem, "good", 0)
    assert with_priors(problem, params, "high").space.prior_point == params
    assert problem.space.prior_point == {}


def test_the_recipe_is_the_prior_of_the_domains_that_it_has_a_value_for() -> None:
    assert with_recipe(PROBLEMS["digits_segmentation"]).space.prior_point == {
        "loss.dice": 1.0,
        "optimizer": "adamw",
        "optimizer.adamw.lr": 3e-3,
        "optimizer.adamw.weight_decay": 0.01,
        "batch_size": 8,
    }


def test_the_documented_table_is_that_of_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(results) == set(CHOSEN)
    for name, rows in results.items():
        assert set(rows) == set(variants_of(PROBLEMS[name]))
        assert {len(by_seed) for by_seed in rows.values()} == {10}
    show(results)
    page = Path(__file__).parents[2] / "docs" / "priors_and_fidelity.md"
    assert capsys.readouterr().out.strip() in page.read_text(encoding="utf-8")
