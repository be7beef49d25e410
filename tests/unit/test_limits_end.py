"""How a search ends of which few trials, or none, are within its limits, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from records import trial
from simulated_search import Simulation, config_of
from tiny_tasks import search_config

from search.run import limits as rules
from search.run.limits import all_over
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.spent import read_spent, spent_by
from search.study.study import JOURNAL
from search.study.trial import Outcome

pytestmark = pytest.mark.usefixtures("no_fsync")

TINY = {"parameters": 500}
"""A perceptron of 8 hidden units on 64 inputs and 10 outputs has 626 parameters, one of 4 has 318."""
WAY_OUT = "raise limits: in a search of another --name, or narrow the space"


def over(study: Any, parameters: float) -> None:
    """A new trial with a model that is over a limit of 1000 parameters."""
    record = study.ask()
    study.measure(record, {"parameters": parameters})
    study.finish(record, Outcome.OVER_LIMIT, f"{parameters:g} parameters of at most 1k")


def test_where_nothing_fits_the_end_says_so_and_how_far_away_it_was(tmp_path: Path) -> None:
    budget = {"trials": 6, "max_virtual_epochs": 3}
    summary = search_locally(search_config(limits=TINY, budget=budget), results=tmp_path)
    records = read_records(tmp_path / "digits" / JOURNAL)
    nearest = next(record for record in records if record.params["model.hidden"] == 8)
    assert summary.status == "failed"
    assert summary.reason == (
        f"no trial has a value; all 6 trials that were measured are over the limit; the nearest is trial "
        f"{nearest.number} with 626 parameters of at most 500: {WAY_OUT}"
    )
    text = summary_text(summary)
    assert summary.reason in text
    assert "with a narrower space under trial:, continue with" in text


def test_a_narrower_space_goes_on_after_a_search_in_which_nothing_fitted(tmp_path: Path) -> None:
    budget = {"trials": 3, "max_virtual_epochs": 2}
    failed = search_locally(search_config(limits=TINY, budget=budget), results=tmp_path)
    narrower = ["trial.model.hidden=4", "budget.trials=6"]
    summary = resume_locally(failed.folder, overrides=narrower)
    assert summary.status == "complete"
    assert summary.counts["over the limit"] == 3
    assert summary.best is not None
    assert summary.best.measured == {"parameters": 318.0}


def test_a_search_without_a_limit_of_trials_says_so_too(tmp_path: Path) -> None:
    config = config_of(limits={"parameters": 1000}, budget={"steps": 1000, "max_virtual_epochs": 9})
    simulation = Simulation(tmp_path, config)
    for number in range(rules.MOST_WITHOUT_VALUE):
        over(simulation.study, 2000.0 - number)
    simulation.run()
    assert len(simulation.records) == rules.MOST_WITHOUT_VALUE
    assert simulation.coordinator.gave_up
    assert simulation.coordinator.ending == (
        "all 24 trials that were measured are over the limit; the nearest is trial 23 with "
        f"1977 parameters of at most 1k: {WAY_OUT}"
    )


def test_the_nearest_is_that_whose_farthest_limit_is_nearest() -> None:
    limits = config_of(limits={"parameters": 1000, "latency": "10ms"}).limits
    measured = [(3000.0, 0.005), (1500.0, 0.011), (1100.0, 0.1)]
    records = [
        trial(
            number,
            outcome=Outcome.OVER_LIMIT,
            reason=f"reason {number}",
            measured={"parameters": parameters, "latency": latency},
        )
        for number, (parameters, latency) in enumerate(measured)
    ]
    assert "all 3 trials that were measured" in all_over([*records, trial(3)], limits)
    assert "the nearest is trial 1 with reason 1: " in all_over(records, limits)
    assert all_over([*records, trial(3, 0.5)], limits) == ""
    assert all_over([*records, trial(3, outcome=Outcome.FAILED)], limits) == ""
    assert all_over([trial(0)], limits) == all_over(records, None) == ""


def test_a_trial_over_the_limit_costs_no_compute(tmp_path: Path) -> None:
    for outcome, cost in ((Outcome.OVER_LIMIT, 0), (Outcome.DIVERGED, 1), (Outcome.FAILED, 1)):
        assert spent_by(trial(0, outcome=outcome)).broken_off == cost
    budget = {"steps": 90, "max_virtual_epochs": 9}  # two full trainings
    none = {"name": "none"}
    config = config_of(limits={"parameters": 1000}, budget=budget, scheduler=none, sampler={"name": "random"})
    simulation = Simulation(tmp_path, config)
    for _ in range(10):
        over(simulation.study, 2000.0)
    assert read_spent(tmp_path / JOURNAL).of_trials.broken_off == 0
    again = Simulation(tmp_path, config).run()
    assert sum(record.steps for record in again.records) == 90
    assert [record.depth for record in again.records if record.values] == [9, 9]


@pytest.mark.parametrize("with_value", [True, False])
def test_after_enough_in_a_row_over_the_limit_no_other_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_value: bool
) -> None:
    """Although there is a value, as they cost nothing and there would be no end of them."""
    monkeypatch.setattr(rules, "MOST_OVER_LIMIT", 5)
    none, budget = {"name": "none"}, {"steps": 1000, "max_virtual_epochs": 9}
    config = config_of(limits={"parameters": 1000}, budget=budget, scheduler=none, sampler={"name": "random"})
    simulation = Simulation(tmp_path, config)
    if with_value:
        simulation.run(max_reports=9)
    study, begun = simulation.study, len(simulation.records)
    assert begun == (1 if with_value else 0)
    for _ in range(4):
        over(study, 2000.0)
    assert rules.over_at_last(study) == ""
    assert not rules.all_begun(study, config.budget)
    over(study, 2000.0)
    assert rules.all_begun(study, config.budget)
    assert rules.over_at_last(study).startswith("the last 5 trials were over the limit: narrow the space")
    again = Simulation(tmp_path, config).run()
    assert len(again.records) == begun + 5
    assert sum(record.steps for record in again.records) == 45 * with_value
    limited = config.budget.model_copy(update={"trials": 99})
    assert not rules.all_begun(again.study, limited)
    again.study.report(again.study.ask(), 0.5, simulation.lengths(study.records[0]), 1)
    assert not rules.all_begun(again.study, config.budget)
