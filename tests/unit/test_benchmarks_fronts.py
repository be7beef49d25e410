"""Fronts of two objectives: what they are worth, and the methods that are compared by them."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.efficiency.costs import Costs
from benchmarks.efficiency.fronts import BUDGETS, QUANTITIES, RESULTS, VARIANTS, search, shares, show
from benchmarks.efficiency.hypervolume import BEYOND, Scale, best_known, front_after, scale_of
from benchmarks.efficiency.methods_fronts import OPTUNA, SYNE_TUNE, method
from benchmarks.efficiency.problems import LENGTH, PROBLEMS, Problem
from benchmarks.efficiency.quality import Report, Trace
from benchmarks.efficiency.record_curves import draw
from benchmarks.efficiency.recorded import Kind, Recorded
from benchmarks.efficiency.simulate import simulate
from benchmarks.efficiency.surrogate import MIN_REPEATED, Surrogate

MLP = PROBLEMS["cancer_mlp"]
SCALE = Scale(reference=0.5, best=0.9, smallest=10.0, largest=1000.0)


def width(params: Mapping[str, Any]) -> float:
    return float(params["model.width"])


def made_up_curve(params: Mapping[str, Any]) -> np.ndarray:
    """A loss that is least at a dropout of 0.3, and lower for wider models."""
    end = 0.1 + abs(params["model.dropout"] - 0.3) + 1.0 / params["model.width"]
    return end + 0.2 / np.arange(1, LENGTH + 1)


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    params, recorded = draw(MLP, 250), Recorded.empty()
    for item in params:
        recorded = recorded.with_curve(item, made_up_curve(item).tolist(), Kind.RANDOM, 0)
    for item in params[:MIN_REPEATED]:
        for seed in (1, 2, 3, 4):
            curve = made_up_curve(item) + (0.01, 0.02, -0.01, -0.02)[seed - 1]
            recorded = recorded.with_curve(item, curve.tolist(), Kind.REPEAT, seed)
    return Surrogate(MLP, recorded)


# --- what a front is worth


def test_the_hypervolume_is_the_area_between_the_points_and_the_reference() -> None:
    best_and_smallest = SCALE.hypervolume([(0.9, 10.0)])
    assert best_and_smallest == pytest.approx(1.0)
    # The largest model is a tenth of the logarithmic range within the reference.
    assert SCALE.hypervolume([(0.9, 1000.0)]) == pytest.approx(BEYOND / (1 + BEYOND))
    # 100 is halfway in logarithms.
    assert SCALE.hypervolume([(0.7, 100.0)]) == pytest.approx(0.5 * (0.5 + BEYOND) / (1 + BEYOND))
    assert SCALE.hypervolume([]) == SCALE.hypervolume([(0.5, 10.0), (0.2, 10.0)]) == 0.0


def test_a_point_adds_what_no_other_dominates() -> None:
    small, large = (0.7, 10.0), (0.9, 1000.0)
    together = SCALE.hypervolume([small, large])
    assert together == pytest.approx(0.5 + 0.5 * BEYOND / (1 + BEYOND))
    assert SCALE.hypervolume([large, small, (0.6, 10.0), (0.65, 100.0)]) == pytest.approx(together)


@pytest.mark.parametrize("seed", range(5))
def test_the_hypervolume_is_that_of_counting_cells(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains, cheap = rng.integers(0, 11, (2, 6))
    points = [
        (0.5 + 0.04 * gain, 1000.0 * math.exp(-math.log(100) * (place * 1.1 / 10 - 0.1)))
        for gain, place in zip(gains, cheap, strict=True)
    ]
    cells = sum(
        any(gain > row and place > column for gain, place in zip(gains, cheap, strict=True))
        for row in range(10)
        for column in range(10)
    )
    assert SCALE.hypervolume(points) == pytest.approx(cells / 100)


def test_where_less_is_better_the_scale_is_turned_round() -> None:
    scale = Scale(reference=2.0, best=1.0, smallest=10.0, largest=1000.0)
    assert scale.hypervolume([(1.0, 10.0)]) == pytest.approx(1.0)
    assert scale.hypervolume([(1.5, 10.0), (2.5, 10.0)]) == pytest.approx(0.5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_front_is_chosen_by_reports_and_valued_without_noise(sign: float) -> None:
    trace = Trace()
    costs = {0: 10.0, 1: 20.0, 2: 30.0}
    for trial, reported, noise_free in [
        (0, 0.5, 0.40),
        (1, 0.6, 0.45),
        (0, 0.4, 0.48),  # less than before: the first checkpoint is kept
        (2, 0.55, 0.90),  # a larger model that reports less than trial 1
        (2, 0.7, 0.65),
    ]:
        trace.reports.append(Report(trial, sign * reported, sign * noise_free))
    assert front_after(trace, 0, sign, costs.__getitem__) == []
    assert front_after(trace, 1, sign, costs.__getitem__) == [(sign * 0.40, 10.0)]
    of_two = [(sign * 0.40, 10.0), (sign * 0.45, 20.0)]
    assert front_after(trace, 4, sign, costs.__getitem__) == of_two
    assert front_after(trace, 5, sign, costs.__getitem__) == [*of_two, (sign * 0.65, 30.0)]


def test_the_best_known_front_has_the_best_of_each_cost(surrogate: Surrogate) -> None:
    found = best_known(surrogate, width)
    assert [cost for _, cost in found] == [8.0, 16.0, 32.0, 64.0]
    for params in draw(MLP, 300):
        least = next(value for value, cost in found if cost == width(params))
        assert surrogate.curve(params).min() >= least - 1e-9
    for value, cost in found:
        # A forest of 250 curves is a mean over neighbours of the best, whose dropout is up to 0.3 from it.
        assert value == pytest.approx(0.1 + 1 / cost + 0.2 / LENGTH, abs=0.06)
    scale = scale_of(surrogate, found)
    assert (scale.smallest, scale.largest) == (8.0, 64.0)
    assert scale.best == min(value for value, _ in found)


# --- costs


def test_parameters_are_those_of_the_real_model() -> None:
    problem, costs = PROBLEMS["digits_mlp"], Costs(PROBLEMS["digits_mlp"], "parameters")
    for params in draw(problem, 20):
        wide, depth = params["model.width"], params["model.depth"]
        # Three of the 64 pixels are the same in all digits, and no inputs.
        hidden = (61 + 1) * wide + (depth - 1) * (wide + 1) * wide
        assert costs(params) == hidden + (wide + 1) * 10


def test_flops_are_those_of_the_real_model() -> None:
    problem, costs = PROBLEMS["digits_segmentation"], Costs(PROBLEMS["digits_segmentation"], "flops")
    for params in draw(problem, 12):
        wide, depth = params["model.width"], params["model.depth"]
        assert costs(params) == unet_flops(wide, depth)


def unet_flops(width: int, depth: int, side: int = 32, channels: int = 1, classes: int = 11) -> int:
    """Twice the products of the convolutions of a U-Net, see trainables/networks/unet.py."""
    widths, products, before = [width * 2**level for level in range(depth + 1)], 0, channels
    for level, wide in enumerate(widths):
        products += (side >> level) ** 2 * 9 * (before * wide + wide * wide)
        before = wide
    for level in range(depth):
        wide, pixels = widths[level], (side >> level) ** 2
        products += (pixels // 4) * 2 * wide * wide + pixels * 9 * (2 * wide * wide + wide * wide)
    return 2 * (products + side**2 * width * classes)


# --- methods


def small_costs(problem: Problem) -> Costs:
    """Costs that nothing has to be built for."""
    costs = Costs(problem, "parameters")
    costs._known.update(
        {
            tuple(params[name] for name in costs._names): width(params) * params["model.depth"]
            for params in draw(problem, 300)
        }
    )
    return costs


def test_a_search_of_tune_search_has_the_measured_cost_as_its_second_objective(surrogate: Surrogate) -> None:
    costs = small_costs(MLP)
    trace = search("tune-search, random", surrogate, costs, 0, 3 * LENGTH)
    assert trace.cost == len(trace.reports) == 3 * LENGTH
    assert trace == search("tune-search, random", surrogate, costs, 0, 3 * LENGTH)
    depths = [sum(report.trial == trial for report in trace.reports) for trial in trace.params]
    # Promotion by ranks of two objectives: the smallest model goes on, though its loss is not the least.
    deepest = [trial for trial, depth in zip(trace.params, depths, strict=True) if depth >= 9]
    smallest = min(costs(params) for params in trace.params.values())
    assert smallest in [costs(trace.params[trial]) for trial in deepest]


@pytest.mark.parametrize("name", list(OPTUNA))
def test_optuna_is_told_the_best_metric_and_the_cost_of_each_trial(surrogate: Surrogate, name: str) -> None:
    made = method(name, MLP, 0, width)
    trace = simulate(surrogate, made, seed=0, budget=4 * LENGTH)
    told = [trial for trial in made._study.trials if trial.state.is_finished()]  # type: ignore[attr-defined]
    assert told
    for trial in told:
        reported = [report.reported for report in trace.reports if report.trial == trial.number]
        assert trial.values == [min(reported), width(trace.params[trial.number])]
    best = [list(point) for point in best_of(told)]
    assert sorted(map(list, best)) == sorted(t.values for t in made._study.best_trials)  # type: ignore[attr-defined]


def best_of(trials: list[Any]) -> list[tuple[float, ...]]:
    values = [tuple(trial.values) for trial in trials]
    return [
        own
        for own in values
        if not any(all(a <= b for a, b in zip(o, own, strict=True)) and o != own for o in values)
    ]


@pytest.mark.skipif(not importlib.util.find_spec("syne_tune"), reason="needs the environment of make bench")
def test_the_order_of_the_paper_is_of_ranks() -> None:
    from benchmarks.efficiency.methods_fronts import in_order_of_paper

    points = np.array([[0.9, 10.0], [0.1, 90.0], [0.5, 50.0], [0.6, 60.0], [0.2, 80.0], [0.95, 95.0]])
    ranks = in_order_of_paper(points)
    assert sorted(ranks) == list(range(6))
    # The least of the first objective, the farthest from it, then the middle; what is dominated comes last.
    assert ranks.tolist() == [1, 0, 2, 4, 3, 5]


def test_a_range_that_may_change_what_a_model_costs_is_refused() -> None:
    problem = PROBLEMS["digits_mlp"]
    model = {**problem.trial["model"], "width": {"randint": [8, 32]}}
    with pytest.raises(ValueError, match=r"model\.width is a range, and may change the parameters"):
        Costs(replace(problem, trial={**problem.trial, "model": model}), "parameters")
    for name, quantity in QUANTITIES.items():
        Costs(PROBLEMS[name], quantity)


# --- the results


def test_the_results_are_of_known_problems_and_methods() -> None:
    stored = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(stored) == set(QUANTITIES)
    for of_problem in stored.values():
        assert set(of_problem["results"]) <= {*VARIANTS, *OPTUNA, *SYNE_TUNE}
        costs = [cost for _, cost in of_problem["best"]]
        assert costs == sorted(set(costs))
        for by_seed in of_problem["results"].values():
            for item in by_seed.values():
                assert len(item["share"]) == len(BUDGETS)
                # Above 100 where a search has found what none had that the best known are from.
                assert all(share >= 0 for share in item["share"])


def test_the_table_has_the_best_method_first(capsys: pytest.CaptureFixture[str]) -> None:
    worse, better = ([{"share": [10.0 * seed + add] * len(BUDGETS)} for seed in range(5)] for add in (1, 7))
    results = {
        name: {str(seed): item for seed, item in enumerate(items)}
        for name, items in (("worse", worse), ("better", better))
    }
    show({"digits_mlp": {"best": [[0.9, 1000.0]], "results": results}}, list(QUANTITIES), range(5))
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["better", "5"]
    assert first.endswith("27.0 ± 13.9 | 27.0 17.0 7.0")
    assert second.split()[:2] == ["worse", "5"]


def test_shares_grow_with_compute_where_there_is_no_noise(surrogate: Surrogate) -> None:
    costs, trace = small_costs(MLP), Trace()
    for trial, params in enumerate(draw(MLP, 40)):
        trace.params[trial] = params
        for value in surrogate.curve(params):
            trace.reports.append(Report(trial, float(value), float(value)))
    known = best_known(surrogate, costs)
    scale = scale_of(surrogate, known)
    found = shares(trace, costs, scale, scale.hypervolume(known), surrogate.sign)
    assert found == sorted(found)
    assert 0 < found[0] < found[-1] <= 100.0
