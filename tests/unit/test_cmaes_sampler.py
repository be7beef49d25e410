from __future__ import annotations

import json
import math
import os
import pickle
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import create_trial
from simulated_search import FLAT_SPACE, Simulation, config_of, num_lines

from search.samplers.cmaes import ReplayedCmaEsSampler
from search.study.study import JOURNAL, TrialRecord

Domains = Mapping[str, BaseDistribution]

MIXED: Domains = {
    "rate": FloatDistribution(1e-6, 1.0, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "dropout": FloatDistribution(0.1, 0.8, step=0.1),
    "layers": IntDistribution(1, 5),
    "width": IntDistribution(8, 512, log=True),
    "patch": IntDistribution(4, 32, step=4),
    "fixed": IntDistribution(3, 3),
    "norm": CategoricalDistribution(["batch", "group"]),
}
SQUARE: Domains = {name: FloatDistribution(0.0, 1.0) for name in ("x", "y")}
NUMBERS: Domains = {name: IntDistribution(0, 9) for name in ("x", "y")}
FULL_GENERATION = 6
"""Population size of two dimensions."""


def new_study() -> optuna.Study:
    return optuna.create_study(direction="maximize")


def add(study: optuna.Study, domains: Domains, params: Mapping[str, Any], value: float) -> None:
    study.add_trial(create_trial(params=dict(params), distributions=dict(domains), value=value))


def draw(study: optuna.Study, domains: Domains, seed: int = 0) -> dict[str, Any]:
    """What a new sampler gives the next trial, which stays running."""
    study.sampler = ReplayedCmaEsSampler(seed)
    return study.ask(dict(domains)).params


def optimize(study: optuna.Study, domains: Domains, value: Callable[[dict[str, Any]], float], n: int) -> None:
    """Run n trials, each with a sampler of its own."""
    for seed in range(n):
        study.sampler = ReplayedCmaEsSampler(seed)
        trial = study.ask(dict(domains))
        study.tell(trial, value(trial.params))


# --- what is drawn


@pytest.mark.parametrize("sign", [-1, 1])
def test_draws_lie_in_their_domains_also_when_the_optimum_is_in_a_corner(sign: int) -> None:
    study = new_study()
    optimize(study, MIXED, lambda p: sign * (math.log(p["rate"]) + 30 * p["momentum"] + p["patch"]), 60)
    trial = study.trials[-1]
    patches = []
    for seed in range(50):
        sampler = ReplayedCmaEsSampler(seed)
        params = sampler.sample_relative(study, trial, sampler.infer_relative_search_space(study, trial))
        assert set(params) == set(MIXED) - {"fixed", "norm"}
        for name, value in params.items():
            assert MIXED[name]._contains(value), (name, value)
        assert {type(params[name]) for name in ("layers", "width", "patch")} == {int}
        patches.append(params["patch"])
    patch = statistics.median(patches)
    assert patch >= 26 if sign > 0 else patch <= 10


def test_a_draw_is_a_function_of_the_seed_and_the_complete_trials() -> None:
    def drawn_after(num_running: int, seed: int, first_value: float = 0.0) -> dict[str, Any]:
        study = new_study()
        for index in range(2 * FULL_GENERATION):
            add(
                study,
                SQUARE,
                {"x": index / 12, "y": (5 * index % 12) / 12},
                first_value if index == 0 else index,
            )
        for _ in range(num_running):
            draw(study, SQUARE, seed=99)
        return draw(study, SQUARE, seed)

    first = drawn_after(num_running=0, seed=1)
    assert drawn_after(num_running=3, seed=1) == first
    assert drawn_after(num_running=0, seed=2) != first
    assert drawn_after(num_running=0, seed=1, first_value=100.0) != first


def test_trials_are_drawn_at_random_until_a_generation_is_full() -> None:
    study = new_study()
    for number in range(FULL_GENERATION):
        study.sampler = RandomSampler(number)
        at_random = study.ask(dict(SQUARE)).params
        assert draw(study, SQUARE, seed=number) == at_random
        add(study, SQUARE, at_random, float(number))
    study.sampler = RandomSampler(7)
    at_random = study.ask(dict(SQUARE)).params
    assert draw(study, SQUARE, seed=7) != at_random


def test_numbers_that_only_some_trials_have_and_choices_are_left_to_chance() -> None:
    study = new_study()
    for index in range(FULL_GENERATION):
        domains = {"rate": MIXED["rate"], "norm": MIXED["norm"], "fixed": MIXED["fixed"]}
        if index != 3:
            domains["momentum"] = MIXED["momentum"]
        domains["width"] = IntDistribution(8, 512 if index != 4 else 256, log=True)
        params = {"rate": 1e-3, "norm": "batch", "fixed": 3, "momentum": 0.5, "width": 8}
        add(study, domains, {name: params[name] for name in domains}, float(index))
    space = ReplayedCmaEsSampler(0).infer_relative_search_space(study, study.trials[0])
    assert space == {"rate": MIXED["rate"]}
    assert set(draw(study, MIXED)) == set(MIXED)


def test_one_number_alone_is_optimized_too() -> None:
    study = new_study()
    optimize(study, {"x": SQUARE["x"]}, lambda params: -abs(params["x"] - 0.9), 40)
    assert statistics.median(abs(trial.params["x"] - 0.9) for trial in study.trials[20:]) < 0.05


# --- trials that no CMA-ES would have drawn


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_equal_values_tell_nothing(value: float) -> None:
    """As when every trial has diverged: the next generations stay as wide as the first."""
    study = new_study()
    rng = np.random.default_rng(0)
    for _ in range(20 * FULL_GENERATION):
        x, y = rng.uniform(0.0, 0.1, 2)
        add(study, SQUARE, {"x": x, "y": y}, value)
    drawn = [draw(study, SQUARE, seed)["x"] for seed in range(50)]
    assert abs(statistics.mean(drawn) - 0.5) < 0.1
    assert statistics.stdev(drawn) > 0.1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("generations", [8, 10, 30])
def test_a_good_point_far_from_the_population_does_not_throw_the_draws_on_the_bounds(
    generations: int,
) -> None:
    """Nor to where they began: they go towards it."""
    study = new_study()
    rng = np.random.default_rng(0)
    for generation in range(generations):
        for x, y in 0.3 + 0.1 * 0.7**generation * rng.standard_normal((FULL_GENERATION, 2)):
            add(study, SQUARE, {"x": x, "y": y}, -math.hypot(x - 0.3, y - 0.3))
    assert all(abs(draw(study, SQUARE, seed)["x"] - 0.3) < 0.1 for seed in range(50))
    add(study, SQUARE, {"x": 0.9, "y": 0.7}, 1.0)
    for _ in range(FULL_GENERATION - 1):
        add(study, SQUARE, {"x": 0.3, "y": 0.3}, 0.0)
    drawn = [draw(study, SQUARE, seed) for seed in range(50)]
    assert all(1e-6 < value < 1 - 1e-6 for params in drawn for value in params.values())
    assert 0.6 < statistics.median(params["x"] for params in drawn) < 0.9


@pytest.mark.filterwarnings("error")
def test_whole_numbers_that_have_come_together_are_searched_anew() -> None:
    """Else every further trial would be the same one."""
    study = new_study()
    for _ in range(10):
        for value in range(FULL_GENERATION):
            add(study, NUMBERS, {"x": 2, "y": 7}, float(value))
    drawn = {tuple(draw(study, NUMBERS, seed).values()) for seed in range(20)}
    assert len(drawn) > 8


@pytest.mark.filterwarnings("error")
def test_a_search_that_has_converged_to_the_last_digit_begins_anew() -> None:
    study = new_study()
    rng = np.random.default_rng(0)
    distances = []
    for generation in range(120):
        for x, y in 0.3 + 1e-15 * rng.standard_normal((FULL_GENERATION, 2)):
            add(study, SQUARE, {"x": x, "y": y}, float(rng.random()))
        if generation >= 60:
            distances.append(abs(draw(study, SQUARE, seed=generation)["x"] - 0.3))
    assert max(distances) > 0.02
    assert statistics.median(distances) < 1e-3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-3, 1e-9, 1e-16])
def test_a_population_that_has_collapsed_neither_fails_nor_gives_nan(scale: float) -> None:
    rng = np.random.default_rng(0)
    study = new_study()
    for index in range(300):
        x, y = np.clip([0.5, 1.0] + scale * rng.standard_normal(2), 0.0, 1.0)
        add(study, SQUARE, {"x": x, "y": y}, float(index % 7))
    for corner in ({"x": 0.0, "y": 0.0}, {"x": 1.0, "y": 0.0}) * 10:
        add(study, SQUARE, corner, 100.0)
        assert all(0.0 <= value <= 1.0 for value in draw(study, SQUARE).values())


def test_a_thousand_trials_are_replayed_in_a_blink() -> None:
    domains = {f"x{index}": FloatDistribution(1e-6, 1.0, log=True) for index in range(10)}
    rng = np.random.default_rng(0)
    study = new_study()
    for _ in range(1000):
        add(study, domains, {name: float(10 ** rng.uniform(-6, 0)) for name in domains}, float(rng.random()))

    def seconds() -> float:
        start = time.perf_counter()
        draw(study, domains)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 0.3


# --- in a search


@pytest.fixture
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def test_it_comes_closer_than_chance_with_the_same_budget(tmp_path: Path, no_fsync: None) -> None:
    """On a sphere over two learning-rate scales, with trials that pause at rungs."""

    def distance(record: TrialRecord) -> float:
        optimizer = record.resolved.tree["optimizer"]
        return math.hypot(math.log10(optimizer["lr"]) + 1.5, math.log10(optimizer["weight_decay"]) + 3)

    def closest_trial(sampler: str, seed: int) -> float:
        config = config_of(
            FLAT_SPACE,
            sampler={"name": sampler, "seed": seed},
            budget={"trials": 64, "max_virtual_epochs": 3},
        )
        folder = tmp_path / f"{sampler}{seed}"
        records = Simulation(folder, config, lambda record, _: -distance(record)).run().records
        return min(distance(record) for record in records)

    with_cmaes = statistics.median(closest_trial("cmaes", seed) for seed in range(5))
    at_random = statistics.median(closest_trial("random", seed) for seed in range(5))
    assert with_cmaes < 0.5 * at_random


def test_no_pickle_is_read_or_written(
    tmp_path: Path, no_fsync: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(
        FLAT_SPACE, sampler={"name": "cmaes", "seed": 0}, budget={"trials": 30, "max_virtual_epochs": 3}
    )
    used: list[str] = []
    for name in ("dump", "dumps", "load", "loads", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *args, name=name, **options: used.append(name))
    Simulation(tmp_path, config).run(max_reports=25)
    records = Simulation(tmp_path, config).run().records
    assert len(records) == 30
    assert used == []
    journal = (tmp_path / JOURNAL).read_text()
    assert "cma" not in journal
    assert num_lines(tmp_path) > 30
    for line in journal.splitlines():
        entry = json.loads(line)
        assert not entry.get("system_attr")
        assert not entry.get("system_attrs")
