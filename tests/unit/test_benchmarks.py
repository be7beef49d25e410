"""The efficiency benchmark: recorded curves, surrogates of them, and simulated searches on these."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.efficiency import recorded_data
from benchmarks.efficiency.methods_own import simulate_own
from benchmarks.efficiency.problems import LENGTH, PROBLEMS, Problem
from benchmarks.efficiency.quality import Spread, Trace, mean_ranks
from benchmarks.efficiency.record_curves import Recorder, draw, missing
from benchmarks.efficiency.recorded import (
    NUM_BEFORE_REPEATS,
    Kind,
    Recorded,
    bounded,
    file_of,
    repeated_rows,
    repeats_in_order,
)
from benchmarks.efficiency.run import drop_outdated
from benchmarks.efficiency.simulate import Job, simulate
from benchmarks.efficiency.surrogate import MIN_REPEATED, NotEnoughCurvesError, Surrogate
from benchmarks.overhead import growth
from search.run.coordinator import Coordinator

CANCER = PROBLEMS["cancer_mlp"]
RECORDED = [name for name, problem in PROBLEMS.items() if file_of(problem).exists()]


# --- what is recorded, as far as it is


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_holds_the_first_configurations_that_its_space_draws(name: str) -> None:
    problem, recorded = PROBLEMS[name], Recorded.load(PROBLEMS[name])
    count = len(recorded.params)
    assert recorded.values.shape == (count, LENGTH)
    assert recorded.kinds.shape == recorded.seeds.shape == (count,)
    assert recorded.count(Kind.RANDOM) <= problem.num_random
    rows = recorded.rows(Kind.RANDOM)[:50]
    assert [recorded.params[row] for row in rows] == draw(problem, len(rows))
    for params in recorded.params[::200]:
        assert problem.space.resolve(params).params == params
    # A curve that diverged has no values from there on.
    for curve in recorded.values:
        assert np.isfinite(curve[: np.isfinite(curve).sum()]).all()
    if problem.metric in ("accuracy", "miou"):
        finite = recorded.values[np.isfinite(recorded.values)]
        assert 0 <= finite.min() < finite.max() <= 1


@pytest.mark.parametrize("name", RECORDED)
def test_repeats_are_of_known_configurations_with_other_seeds(name: str) -> None:
    problem, recorded = PROBLEMS[name], Recorded.load(PROBLEMS[name])
    if not recorded.count(Kind.REPEAT):
        pytest.skip("none recorded so far")
    planned = repeats_in_order(repeated_rows(recorded, problem))[: recorded.count(Kind.REPEAT)]
    rows = recorded.rows(Kind.REPEAT)
    found = [(recorded.params[row], int(recorded.seeds[row])) for row in rows]
    assert found == [(recorded.params[row], seed) for row, seed in planned]
    # Another seed is another curve, except where nothing is learnt.
    same = [
        np.array_equal(recorded.values[a], recorded.values[b])
        for a, (b, _) in zip(rows, planned, strict=True)
    ]
    assert np.mean(same) < 0.2


def test_a_recorded_curve_is_what_training_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded_data.write_digits(tmp_path / "digits.csv")
    monkeypatch.chdir(tmp_path)
    recorded = Recorded.load(PROBLEMS["digits_mlp"])
    curve = Recorder("digits_mlp").curve(recorded.params[1], seed=0)
    assert curve == pytest.approx(recorded.values[1].tolist(), abs=0.01)
    assert curve[-1] == pytest.approx(0.9499, abs=0.01)


def test_a_recording_goes_on_where_it_ended() -> None:
    problem = PROBLEMS["digits_mlp"]
    whole = Recorded.load(problem)

    def cut(num_random: int, num_repeats: int = 0) -> Recorded:
        rows = [*whole.rows(Kind.RANDOM)[:num_random], *whole.rows(Kind.REPEAT)[:num_repeats]]
        params = [whole.params[row] for row in rows]
        return Recorded(params, whole.values[rows], whole.kinds[rows], whole.seeds[rows])

    drawn = draw(problem, 202)
    assert missing(problem, cut(3), 10**6) == [(item, Kind.RANDOM, 0) for item in drawn[3:NUM_BEFORE_REPEATS]]
    jobs = missing(problem, cut(200, 10), 202)
    assert [kind for _, kind, _ in jobs] == [Kind.REPEAT] * 150 + [Kind.RANDOM] * 2
    assert jobs[150:] == [(item, Kind.RANDOM, 0) for item in drawn[200:]]
    assert missing(problem, cut(200, 160), 200) == []
    with pytest.raises(ValueError, match="the space has changed"):
        missing(replace(problem, trial=CANCER.trial), cut(3), 10)


# --- surrogates of made-up curves


def made_up(num_random: int = 300, num_repeated: int = MIN_REPEATED) -> Recorded:
    """Curves of the cancer problem that are best at dropout 0.3, with known noise of the seeds 1 to 4."""
    recorded = Recorded.empty()
    params = draw(CANCER, num_random)
    for item in params:
        recorded = recorded.with_curve(item, made_up_curve(item).tolist(), Kind.RANDOM, 0)
    for item in params[:num_repeated]:
        for seed in (1, 2, 3, 4):
            curve = made_up_curve(item) + (0.01, 0.02, -0.01, -0.02)[seed - 1]
            recorded = recorded.with_curve(item, curve.tolist(), Kind.REPEAT, seed)
    return recorded


def made_up_curve(params: Mapping[str, Any]) -> np.ndarray:
    end = 0.1 + abs(params["model.dropout"] - 0.3)
    return end + 0.2 / np.arange(1, LENGTH + 1)


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    return Surrogate(CANCER, made_up())


def test_a_surrogate_predicts_curves_that_it_has_not_seen(surrogate: Surrogate) -> None:
    for params in draw(CANCER, 320)[300:]:
        assert surrogate.curve(params) == pytest.approx(made_up_curve(params), abs=0.05)
    assert surrogate.fit.r2 > 0.95
    assert surrogate.fit.error < 0.01


def test_reports_differ_from_the_curve_as_the_repeats_do_from_their_median(surrogate: Surrogate) -> None:
    bests = np.sort([curve.min() for curve in bounded(made_up().values, CANCER)])
    ideal = bests[0] - 0.1 * (np.median(bests) - bests[0])

    possible = []
    curve = surrogate.curve(draw(CANCER, 1)[0])
    for params in draw(CANCER, MIN_REPEATED):
        median = made_up_curve(params)
        for noise in (0.0, 0.01, 0.02, -0.01, -0.02):
            factor = (median + noise - ideal) / (median - ideal)
            possible.append(np.minimum(ideal + (curve - ideal) * factor, CANCER.worst))
    reports = [surrogate.reported(curve, seed=3, trial=trial) for trial in range(60)]
    for report in reports:
        assert min(np.abs(report - other).max() for other in possible) < 1e-5
    assert len({round(float(report[-1]), 6) for report in reports}) > 10
    assert np.array_equal(surrogate.reported(curve, seed=3, trial=7), reports[7])
    assert surrogate.fit.between == pytest.approx(math.sqrt(0.001 / 4), rel=1e-4)
    assert surrogate.fit.within == pytest.approx(0, abs=1e-6)


def test_no_report_is_much_better_than_what_was_recorded() -> None:
    fit = Surrogate(PROBLEMS["diabetes_mlp"]).fit
    assert fit.simulated_best == pytest.approx(fit.recorded_best, abs=0.5)
    # What a person finds for this data set: the target has a deviation of 77.
    assert 51 < fit.recorded_best < 54
    assert fit.r2 > 0.7
    assert 0.5 < fit.between < 2


def test_regret_is_0_at_the_best_and_100_at_the_median(surrogate: Surrogate) -> None:
    ends = [made_up_curve(params)[-1] for params in draw(CANCER, 300)]
    assert surrogate.best == pytest.approx(0.1 + 0.2 / LENGTH, abs=0.03)
    assert surrogate.median == pytest.approx(np.median(ends), abs=0.01)
    assert surrogate.regret(surrogate.best) == 0
    assert surrogate.regret(surrogate.median) == pytest.approx(100)
    assert min(surrogate.curve(params).min() for params in draw(CANCER, 30)) >= surrogate.best


def test_a_recording_that_is_not_complete_is_used_and_says_so(surrogate: Surrogate) -> None:
    assert "340 curves, 300 of 2000 random ones so far; valid_loss of the median" in surrogate.describe()
    with pytest.raises(NotEnoughCurvesError, match=r"150 random configurations and 10 repeated ones are rec"):
        Surrogate(CANCER, made_up(150))
    with pytest.raises(NotEnoughCurvesError, match=r"record_curves cancer_mlp"):
        Surrogate(CANCER, made_up(200, MIN_REPEATED - 1))


# --- searches on a surrogate


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


def test_a_paused_trial_goes_on_with_its_own_curve_and_is_paid_for_once(surrogate: Surrogate) -> None:
    params = draw(CANCER, 1)[0]
    method, curve = Fixed([params], {0: 9}), surrogate.curve(params)
    trace = simulate(surrogate, method, budget=100, seed=0)
    reported = surrogate.reported(curve, seed=0, trial=0)
    assert [virtual_epoch for _, virtual_epoch, _ in method.reports] == list(range(1, LENGTH + 1))
    assert [value for *_, value in method.reports] == reported.tolist()
    assert trace.cost == LENGTH
    assert trace.at(0.5) is None
    assert trace.at(9.5) == curve[reported[:9].argmin()]


def test_workers_train_side_by_side(surrogate: Surrogate) -> None:
    method = Fixed(list(draw(CANCER, 8)), {})
    simulate(surrogate, method, budget=4 * LENGTH, seed=0, num_workers=4)
    assert {trial for trial, *_ in method.reports[:8]} == {0, 1, 2, 3}
    assert max(trial for trial, *_ in method.reports[: 3 * LENGTH]) == 3


def test_a_search_of_so_many_trials_lets_those_that_run_end(surrogate: Surrogate) -> None:
    method = Fixed(list(draw(CANCER, 8)), {0: 3})
    trace = simulate(surrogate, method, max_trials=5, seed=0)
    depths = {trial: max(v for t, v, _ in method.reports if t == trial) for trial in range(5)}
    assert trace.cost == len(method.reports) == sum(depths.values())
    assert {depths[trial] for trial in range(1, 5)} == {LENGTH}


def test_the_incumbent_is_chosen_by_what_is_reported_and_judged_without_noise() -> None:
    trace = Trace()
    for reported, noise_free in ((0.5, 0.5), (0.7, 0.4), (0.7, 0.9), (0.6, 0.9)):
        trace.add(reported, noise_free, 1.0)
    assert trace.noise_free == [0.5, 0.4, 0.4, 0.4]
    assert [trace.at(cost) for cost in (0, 1, 2.9, 99)] == [None, 0.5, 0.4, 0.4]
    least = Trace()
    for reported in (0.5, 0.7, 0.3):
        least.add(reported, reported, -1.0)
    assert least.reported == [0.5, 0.5, 0.3]


def test_a_simulated_search_is_that_of_the_program_and_repeats(surrogate: Surrogate, tmp_path: Path) -> None:
    def searched(folder: str, seed: int, **limits: int) -> tuple[list[float], Coordinator]:
        trace, coordinator = simulate_own(surrogate, tmp_path / folder, seed=seed, sections={}, **limits)
        return trace.noise_free, coordinator

    first, coordinator = searched("first", 0, budget=45)
    assert searched("again", 0, budget=45)[0] == first
    assert searched("other", 1, budget=15)[0] != first[:15]
    records = coordinator.study.records
    assert {record.window for record in records} == {5}
    best = coordinator.best
    assert best is not None
    curve = surrogate.curve(best.resolved.params)
    assert first[-1] == float(curve[best.best_virtual_epoch("min") - 1]), (
        "of what the program takes for the best"
    )
    assert sum(record.depth for record in records) == 45
    assert len(records) > 10
    assert max(record.depth for record in records) >= 3
    found, coordinator = searched("trials", 0, max_trials=6)
    assert len(coordinator.study.records) == 6
    assert sum(record.depth for record in coordinator.study.records) == len(found)


# --- summaries


def test_a_spread_says_mean_interval_median_quartile_and_worst() -> None:
    spread = Spread.of([1.0, 2.0, 3.0, 10.0])
    assert (spread.count, spread.mean, spread.median, spread.upper, spread.worst) == (4, 4.0, 2.5, 4.75, 10.0)
    assert spread.half == pytest.approx(1.96 * math.sqrt(50 / 3) / 2)
    assert math.isnan(Spread.of([1.0]).half)


def test_mean_ranks_are_of_the_methods_that_every_problem_has() -> None:
    ranks = mean_ranks([{"a": 1.0, "b": 2.0, "c": 0.0}, {"a": 5.0, "b": 5.0}])
    assert ranks == {"a": 1.25, "b": 1.75}
    assert mean_ranks([]) == {}


def test_results_of_other_curves_are_dropped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored: dict[str, Any] = {"curves": {}, "results": {}}
    problem: Problem = CANCER
    made_up(3, 0).save(problem, tmp_path)
    drop_outdated(stored, ["cancer_mlp"], tmp_path)
    stored["results"]["cancer_mlp"] = {"a method": {}}
    drop_outdated(stored, ["cancer_mlp"], tmp_path)
    assert stored["results"] == {"cancer_mlp": {"a method": {}}}
    made_up(4, 0).save(problem, tmp_path)
    drop_outdated(stored, ["cancer_mlp"], tmp_path)
    assert stored["results"] == {}
    assert "which are dropped" in capsys.readouterr().out


PROGRAMS = """
efficiency.record_curves efficiency.run efficiency.surrogate loop.accumulation loop.epochs_or_iterations
loop.run overhead.growth overhead.many_trials overhead.memory overhead.run overhead.start
"""


@pytest.mark.parametrize("name", PROGRAMS.split())
def test_each_program_can_be_imported_and_explains_how_to_run_it(name: str) -> None:
    program = importlib.import_module(f"benchmarks.{name}")
    assert f"python -m benchmarks.{name}" in (program.__doc__ or "")


def test_the_growth_of_a_search_is_measured_on_its_own_coordinator(tmp_path: Path) -> None:
    (row,) = growth.grow(tmp_path, [6], "random", "asha", 2)
    assert row["trials"] == 6
    assert row["virtual_epochs"] >= 4
    assert row["ask"]["cpu_ms"] > 0.0
    again = growth.reopen(tmp_path / "6" / "study.journal", 6, "random", "asha", 2)
    assert again["report"]["cpu_ms"] > 0.0
