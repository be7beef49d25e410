from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.efficiency.encoding import INACTIVE, SpaceEncoding
from search.space.parse import parse_space

TREE: dict[str, Any] = {
    "width": {"choice": [16, 32, 64]},
    "optimizer": {
        "choice": [
            {
                "name": "adamw",
                "lr": {"loguniform": [1e-4, 1e-1]},
                "wd": {"choice": [0.0, {"uniform": [0, 1]}]},
            },
            {"name": "sgd", "lr": {"loguniform": [1e-3, 1.0]}, "momentum": {"quniform": [0.0, 0.9, 0.3]}},
        ]
    },
    "layers": {"randint": [1, 4]},
    "hidden": {"lograndint": [8, 512]},
    "dropout": {"uniform": [0.0, 0.5]},
}


@pytest.fixture
def encoding() -> SpaceEncoding:
    return SpaceEncoding(parse_space(TREE))


def test_random_rows_are_trials_of_the_space(encoding: SpaceEncoding) -> None:
    space, rows = parse_space(TREE), encoding.random(np.random.default_rng(0), 300)
    trials = [encoding.params(row) for row in rows]
    assert [space.resolve(params).params for params in trials] == trials
    for name, expected in (("layers", {1, 2, 3, 4}), ("optimizer.sgd.momentum", {0.0, 0.3, 0.6, 0.9})):
        assert {params[name] for params in trials if name in params} == expected
    assert all(("optimizer.sgd.momentum" in p) == (p["optimizer"] == "sgd") for p in trials)


def test_whole_numbers_and_steps_are_equally_frequent_also_at_the_bounds(encoding: SpaceEncoding) -> None:
    trials = [encoding.params(row) for row in encoding.random(np.random.default_rng(0), 4000)]
    counts = np.unique([params["layers"] for params in trials], return_counts=True)[1]
    assert counts.min() > 0.9 * 1000
    moments = [p["optimizer.sgd.momentum"] for p in trials if p["optimizer"] == "sgd"]
    counts = np.unique(moments, return_counts=True)[1]
    assert counts.min() > 0.85 * len(moments) / 4


def test_parameters_come_back_from_their_row(encoding: SpaceEncoding) -> None:
    for row in encoding.random(np.random.default_rng(1), 200):
        params = encoding.params(row)
        again = encoding.params(encoding.row(params))
        assert again.keys() == params.keys()
        for name, value in params.items():
            assert again[name] == (pytest.approx(value) if isinstance(value, float) else value)


def test_what_is_not_chosen_is_inactive_at_every_depth(encoding: SpaceEncoding) -> None:
    row = encoding.row({"width": 16, "optimizer": "sgd", "optimizer.sgd.lr": 0.1, "layers": 2})
    assert (row == INACTIVE).sum() == encoding.num_columns - 4
    # A row that says otherwise is put right from the outside to the inside.
    masked = encoding.masked(np.zeros((1, encoding.num_columns)))[0]
    assert encoding.params(masked)["optimizer"] == "adamw"
    assert "optimizer.sgd.lr" not in encoding.params(masked)


def test_neighbours_are_near_and_of_the_space(encoding: SpaceEncoding) -> None:
    space, rng = parse_space(TREE), np.random.default_rng(0)
    row = encoding.random(rng, 1)[0]
    near = encoding.neighbours(row, rng, 200, deviation=0.05, switch=0.1)
    for neighbour in near:
        space.resolve(encoding.params(neighbour))
    ranges = (encoding.num_options == 0) & (row != INACTIVE)
    same = (
        near[:, (encoding.num_options > 0) & (row != INACTIVE)]
        == row[(encoding.num_options > 0) & (row != INACTIVE)]
    )
    stayed = near[same.all(1)][:, ranges]
    assert np.abs(stayed - row[ranges]).mean() < 0.06
    assert 0.5 < same.all(1).mean() < 0.95
    assert near[near != INACTIVE].min() >= 0.0


def test_neighbours_reach_another_option_with_parameters_of_its_own(encoding: SpaceEncoding) -> None:
    rng = np.random.default_rng(0)
    row = encoding.row(
        {"width": 16, "optimizer": "sgd", "optimizer.sgd.lr": 0.1, "optimizer.sgd.momentum": 0.9}
    )
    near = [encoding.params(r) for r in encoding.neighbours(row, rng, 400, deviation=0.05, switch=0.3)]
    rates = [params["optimizer.adamw.lr"] for params in near if params["optimizer"] == "adamw"]
    assert len(rates) > 20
    assert min(rates) < 1e-3
    assert max(rates) > 1e-2
