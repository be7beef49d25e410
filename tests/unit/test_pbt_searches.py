"""Whole searches by population based training, simulated, and what is refused before one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from simulated_search import (
    FLAT_SPACE as SPACE,
)
from simulated_search import (
    Simulation,
    assert_whole,
    by_number,
    config_of,
    cut_journal,
    num_lines,
    outcomes,
)

from search.errors import ConfigError
from search.run.events import EventKind
from search.study.lineage import change_text, schedule_of
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import Outcome, TrialRecord
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


def of_a_population(**sections: Any) -> Any:
    defaults: dict[str, Any] = {
        "scheduler": {"name": "pbt", "interval": 2, "quantile": 0.3},
        "sampler": {"name": "random"},
        "budget": {"trials": 6, "max_virtual_epochs": 8},
    }
    return config_of(SPACE, **(defaults | sections))


def curve(record: TrialRecord, virtual_epoch: int) -> float:
    """Follows from what the trial is now, so that a wrong decision shows in all later values."""
    return float(record.params["optimizer.lr"]) * virtual_epoch + record.params["model.hidden"] / 1000


def test_a_population_is_trained_to_full_length_and_its_lineage_is_in_the_study(tmp_path: Path) -> None:
    records = Simulation(tmp_path, of_a_population(), curve, workers=2).run().records
    assert [record.outcome for record in records] == [Outcome.COMPLETED] * 6
    assert_whole(tmp_path, records)
    assert sum(len(record.taken_over) for record in records) == 3 * 2
    again = read_records(tmp_path / JOURNAL)
    assert [r.taken_over for r in again] == [r.taken_over for r in records]
    assert outcomes(again) == outcomes(records)
    assert [r.drawn for r in again] == [r.drawn for r in records]
    changed = next(record for record in records if record.taken_over)
    first = changed.taken_over[0]
    assert changed.params_at(first.at) == changed.drawn
    assert changed.params_at(first.at + 1) == first.params


@pytest.mark.parametrize("workers", [1, 2, 3, 6, 9])
def test_neither_the_number_of_workers_nor_their_pace_changes_a_decision(
    tmp_path: Path, workers: int
) -> None:
    calm = Simulation(tmp_path / "calm", of_a_population(), curve).run().records

    def uneven(number: int) -> float:
        return 1.0 + (number * 7 % 5)

    found = Simulation(tmp_path / "other", of_a_population(), curve, workers=workers, pace=uneven).run()
    assert outcomes(found.records) == outcomes(calm)
    assert [r.taken_over for r in found.records] == [r.taken_over for r in calm]


def test_killed_after_any_write_a_search_comes_to_the_same(tmp_path: Path) -> None:
    whole = Simulation(tmp_path / "whole", of_a_population(), curve, workers=2).run().records
    lines = num_lines(tmp_path / "whole")
    for number in range(1, lines):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut-{number}", number)
        again = Simulation(folder, of_a_population(), curve, workers=2).run().records
        assert outcomes(again) == outcomes(whole), number
        assert [r.taken_over for r in again] == [r.taken_over for r in whole], number


def test_a_trial_that_fails_leaves_the_population_which_goes_on(tmp_path: Path) -> None:
    def faults(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        return FailureKind.ERROR if (number, virtual_epoch) == (0, 4) else None

    records = Simulation(tmp_path, of_a_population(), by_number([0.0] * 6), faults=faults).run().records
    assert [record.outcome for record in records] == [Outcome.FAILED] + [Outcome.COMPLETED] * 5
    assert records[0].depth == 3


def test_the_weights_of_a_trial_are_followed_back_to_their_first_step(tmp_path: Path) -> None:
    records = Simulation(tmp_path, of_a_population(), curve).run().records
    for record in records:
        parts = schedule_of(records, record, record.depth)
        assert [part.until for part in parts] == sorted({part.until for part in parts})
        assert parts[-1][:3] == (record.number, 8, record.params)
        for before, part in pairwise(parts):
            went = next(t for t in records[part.trial].taken_over if t.at == before.until)
            assert (went.donor, went.params) == (before.trial, part.params)
            assert part.options == records[part.trial].space.resolve(part.params).options
    changed = next(record for record in records if record.taken_over)
    last = changed.taken_over[-1]
    before_lr = records[last.donor].params_at(last.at)["optimizer.lr"]
    start = (
        f"goes on from trial {last.donor} at virtual epoch {last.at} with optimizer.lr {before_lr:.4g} -> "
    )
    assert change_text(records, changed).startswith(start)


def test_events_say_who_goes_on(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, of_a_population(), curve).run()
    promoted = [event for event in simulation.events if event[0] is EventKind.PROMOTED]
    assert len(promoted) == 3 * 6


@pytest.mark.parametrize(
    ("sections", "path", "part"),
    [
        ({"budget": {"trials": 1, "max_virtual_epochs": 8}}, "budget.trials", "population"),
        ({"budget": {"trials": 6, "max_virtual_epochs": 2}}, "scheduler.interval", "less than"),
        ({"budget": {"full_trainings": 6, "max_virtual_epochs": 8}}, "budget.full_trainings", "remove it"),
        ({"budget": {"trials": 6, "time": "1h"}}, "budget.time", "remove it"),
        ({"plateau": {"patience": 3}}, "plateau", "remove it"),
        ({"sampler": {"name": "tpe", "startup_trials": 3}}, "sampler.name", "take random, qmc or grid"),
        ({"confirm": {"top": 2}}, "confirm", "remove it"),
        ({"scheduler": {"name": "pbt", "hyperparameters": ["optimizer.l"]}}, "", "did you mean"),
        ({"scheduler": {"name": "pbt", "hyperparameters": ["model.hidden"]}}, "", "other shapes"),
        ({"scheduler": {"name": "pbt", "audit": 5}}, "scheduler", "audit"),
        ({"trial": SPACE | {"batch_size": {"choice": [8, 16]}}}, "trial.batch_size", "give one value"),
        ({"trial": {"model": {"hidden": {"choice": [8, 16]}}}}, "scheduler.name", "nothing could change"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_before_the_search(
    sections: dict[str, Any], path: str, part: str
) -> None:
    space = sections.pop("trial", SPACE)
    base: dict[str, Any] = {
        "scheduler": {"name": "pbt"},
        "sampler": {"name": "random"},
        "budget": {"trials": 6, "max_virtual_epochs": 8},
    }
    with pytest.raises(ConfigError) as error:
        config_of(space, **(base | sections))
    assert any(path in problem.path and part in problem.message for problem in error.value.problems), error


@pytest.mark.parametrize("factors", [[1.2], [0.8], [1.2, 1.5], [0.5, 0.8], [1.0], [1.0, 1.2], []], ids=str)
def test_factors_that_move_a_value_in_one_direction_only_are_refused(factors: list[float]) -> None:
    with pytest.raises(ConfigError) as error:
        of_a_population(scheduler={"name": "pbt", "perturb": factors})
    (problem,) = error.value.problems
    assert problem.path == "scheduler.perturb"
    assert f"received {factors}; must have a factor below 1 and one above 1" in problem.message
    assert "such as [0.8, 1.2]" in problem.message


@pytest.mark.parametrize("factor", [0.0, -0.5])
def test_each_factor_is_above_zero(factor: float) -> None:
    with pytest.raises(ConfigError, match=rf"received {factor}; must be greater than 0"):
        of_a_population(scheduler={"name": "pbt", "perturb": [factor, 1.2]})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("perturbation_interval", "interval"),
        ("quantile_fraction", "quantile"),
        ("resample_probability", "resample"),
        ("perturbation_factors", "perturb"),
        ("hyperparam_mutations", "hyperparameters"),
    ],
)
def test_what_ray_tune_calls_otherwise_is_found(theirs: str, ours: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown key '{theirs}'; did you mean '{ours}'"):
        of_a_population(scheduler={"name": "pbt", theirs: 3})
    with pytest.raises(ConfigError, match=f"unknown key '{theirs}'; known: ") as error:
        of_a_population(scheduler={"name": "none", theirs: 3})
    assert "did you mean" not in str(error.value)
