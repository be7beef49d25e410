from __future__ import annotations

import math
import os
import statistics
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from simulated_search import FLAT_SPACE, SPACE, Simulation, config_of, learning_curve, open_study

from search.early_stopping import Rungs
from search.sampling import halving_scores, view_trials
from search.space import Resolved
from search.study import JOURNAL, Outcome, TrialRecord
from trainables.virtual_epoch import VirtualEpochs

STEPS = VirtualEpochs(unit="steps", count=5, step_samples=16, pass_samples=None)
SAMPLERS = ["random", "tpe", "gp", "cmaes", "qmc"]


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def trial(number: int, *values: float, **fields: Any) -> TrialRecord:
    return TrialRecord(number, number, Resolved({}, {}, {}, {}), values=list(values), lengths=STEPS, **fields)


def space_for(sampler: str) -> Any:
    return FLAT_SPACE if sampler in ("gp", "cmaes") else SPACE


def drawn(folder: Path, sampler: str, seed: int = 0, trials: int = 9) -> list[dict[str, Any]]:
    config = config_of(
        space_for(sampler),
        sampler={"name": sampler, "seed": seed, "startup_trials": 4},
        budget={"trials": trials, "virtual_epochs": 3},
    )
    return [record.resolved.params for record in Simulation(folder, config).run().records]


# --- scores


def test_a_deeper_rung_ranks_above_a_better_value_at_a_shallow_one() -> None:
    records = [trial(0, 0.9), trial(1, 0.1, 0.2, 0.3), trial(2, 0.5), trial(3, 0.1, 0.1, 0.1)]
    scores = halving_scores(records, Rungs(), "max")
    assert sorted(scores, key=scores.__getitem__) == [2, 0, 3, 1]
    assert (min(scores.values()), max(scores.values())) == (0.0, 1.0)


def test_with_mode_min_the_smaller_value_scores_higher() -> None:
    scores = halving_scores([trial(0, 0.9), trial(1, 0.1)], Rungs(), "min")
    assert scores == {0: 0.0, 1: 1.0}


def test_a_full_length_ranks_above_its_last_rung() -> None:
    records = [trial(0, *[0.9] * 3), trial(1, *[0.5] * 4, outcome=Outcome.COMPLETED)]
    scores = halving_scores(records, Rungs(), "max")
    assert scores[1] > scores[0]


def test_diverged_and_out_of_memory_rank_worst_and_failed_is_left_out() -> None:
    records = [
        trial(0, 0.9, 0.9, 0.9, outcome=Outcome.DIVERGED),
        trial(1, outcome=Outcome.OUT_OF_MEMORY),
        trial(2, 0.9, outcome=Outcome.FAILED),
        trial(3, 0.1),
        trial(4),
    ]
    assert halving_scores(records, Rungs(), "max") == {0: 0.0, 1: 0.0, 3: 1.0}


def test_equals_score_alike() -> None:
    scores = halving_scores([trial(0, 0.5), trial(1, 0.5), trial(2, 0.7)], Rungs(), "max")
    assert scores[0] == scores[1] < scores[2]


# --- the view


def test_in_the_view_paused_trials_are_complete_and_running_ones_run(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})

    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        return math.nan if record.number == 1 else learning_curve(record, virtual_epoch)

    simulation = Simulation(tmp_path, config, curve, workers=2).run(max_reports=7)
    study = simulation.study
    view = view_trials(study, study.study.get_trials(), simulation.rule.rungs)
    states = {frozen.number: frozen.state for frozen in view}
    for record in study.records:
        expected = TrialState.RUNNING if record.running else TrialState.COMPLETE
        assert states[record.number] is expected
    paused = [r for r in study.records if r.values and not r.running and r.outcome is None]
    assert len(paused) >= 2
    values = {frozen.number: frozen.value for frozen in view if frozen.state is TrialState.COMPLETE}
    assert values[1] == 0.0
    assert all(values[record.number] > 0.0 for record in paused)
    best = max(paused, key=lambda record: (record.depth, record.best("max")))
    assert values[best.number] == 1.0


def test_tpe_learns_from_paused_trials(tmp_path: Path) -> None:
    """Most trials are paused to the end: if those told nothing, nearly all would be random."""
    space = {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-6, 1.0]}}, "batch_size": 16}

    def distance(record: TrialRecord, virtual_epoch: int = 0) -> float:
        return abs(math.log10(record.resolved.tree["optimizer"]["lr"]) + 2)

    def median_of_later_trials(sampler: str, seed: int) -> float:
        config = config_of(
            space,
            sampler={"name": sampler, "seed": seed, "startup_trials": 8},
            budget={"trials": 32, "virtual_epochs": 9},
        )
        folder = tmp_path / f"{sampler}{seed}"
        records = Simulation(folder, config, lambda r, v: -distance(r, v)).run().records
        return statistics.median(distance(record) for record in records[16:])

    with_tpe = statistics.mean(median_of_later_trials("tpe", seed) for seed in range(3))
    at_random = statistics.mean(median_of_later_trials("random", seed) for seed in range(3))
    assert with_tpe < 0.6 * at_random


# --- a function of (seed, trial number)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_configuration_gives_the_same_trials(tmp_path: Path, sampler: str) -> None:
    trials = 6 if sampler == "gp" else 9
    first = drawn(tmp_path / "a", sampler, trials=trials)
    assert drawn(tmp_path / "b", sampler, trials=trials) == first
    assert len({str(params) for params in first}) == trials


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_another_seed_gives_other_trials(tmp_path: Path, sampler: str) -> None:
    first = drawn(tmp_path / "a", sampler, trials=3)
    second = drawn(tmp_path / "b", sampler, seed=1, trials=3)
    assert all(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_parameters_are_drawn_independently_of_each_other_and_of_the_trial_before(
    tmp_path: Path, sampler: str
) -> None:
    """A sampler that is made anew for each trial must not draw the same number again and again."""
    params = drawn(tmp_path, sampler, trials=6)
    for name in {name for one in params for name in one if name.endswith(("lr", "momentum", "decay"))}:
        values = [one[name] for one in params if name in one]
        assert len(set(values)) == len(values)


def test_the_first_random_draws_do_not_depend_on_the_sampler(tmp_path: Path) -> None:
    tpe, random = drawn(tmp_path / "tpe", "tpe"), drawn(tmp_path / "random", "random")
    assert tpe[:4] == random[:4]
    assert tpe[4:] != random[4:]


def test_qmc_fills_the_space_more_evenly_than_chance(tmp_path: Path) -> None:
    space = {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1.0]}}, "batch_size": 16}
    config = config_of(space, sampler={"name": "qmc"}, budget={"trials": 17, "virtual_epochs": 1})
    records = Simulation(tmp_path, config, lambda record, _: float(record.number)).run().records
    places = [(math.log10(r.resolved.tree["optimizer"]["lr"]) + 4) / 4 for r in records]
    # 16 points of a scrambled Sobol sequence, after the first: at most two in any eighth.
    eighths = [int(place * 8) for place in places[1:]]
    assert max(eighths.count(eighth) for eighth in range(8)) <= 3
    assert len(set(eighths)) == 8


def test_a_trial_that_is_fully_drawn_is_not_drawn_again_when_the_study_is_opened(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    drawn = Simulation(tmp_path, config).run(max_reports=5).records
    written = (tmp_path / JOURNAL).read_bytes()
    study = open_study(tmp_path, config)
    assert [r.resolved.params for r in study.records] == [r.resolved.params for r in drawn]
    assert (tmp_path / JOURNAL).read_bytes() == written
    sampler: Any = study.study.sampler
    assert sampler._current is None
