"""Limits of a model: how they are written and told, what is measured, what the sampler learns of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from records import promote, trial
from simulated_search import Simulation, config_of, outcomes
from tiny_tasks import search_config

from search.config.sections.limits import Limits, measured_text, quantity_text
from search.config.sections.quantities import parse_latency, parse_number
from search.config.stages import load_config
from search.errors import ConfigError
from search.run.disk.folder import RunFolder
from search.run.limits import over_limit
from search.run.outcome.opened import Run
from search.run.outcome.summary_file import read_summary
from search.run.recovery import recovery_of
from search.samplers.view import HalvingScores, StudyView
from search.schedulers.asha import ASHA
from search.schedulers.base import NoScheduler, Rungs
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.trial import Outcome

pytestmark = pytest.mark.usefixtures("no_fsync")

SMALL = {"parameters": 1300, "flops": "10k"}
"""A perceptron of 16 hidden units on 64 inputs and 10 outputs has 1,242 parameters, one of 32 has 2,474."""
WEIGHTS = "*/checkpoint_*/model.safetensors"
FEW = {"trials": 6, "max_virtual_epochs": 3}


# --- how they are written, and told


@pytest.mark.parametrize(
    ("text", "number"),
    [("5M", 5e6), ("2.5 G", 2.5e9), ("500k", 5e5), ("1T", 1e12), (1234, 1234.0)],
)
def test_a_number_may_have_a_suffix(text: Any, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["5 m", "5MB", "", "-5", 0, -1, True, "1e6", [5], math.nan, math.inf])
def test_what_is_no_number_above_zero_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a number above 0, such as 5000000, 500k, 5M"):
        parse_number(text)


def test_a_latency_needs_its_unit() -> None:
    assert [parse_latency(text) for text in ("20ms", "1.5s", "800 us")] == [0.02, 1.5, pytest.approx(8e-4)]
    for text in (20, "20", "20m", "0ms", "2h", ""):
        with pytest.raises(ValueError, match="a time with its unit, such as 20ms"):
            parse_latency(text)


def test_quantities_are_written_with_their_units_and_no_exponent() -> None:
    written = [
        ("parameters", 7.2e6),
        ("flops", 999.7),
        ("latency", 0.0254),
        ("latency", 2.0),
    ]
    assert [quantity_text(*each) for each in written] == ["7.2M", "1000", "25.4 ms", "2 s"]
    assert quantity_text("memory", 2.1e9) == "2.1 GB"
    assert measured_text({"parameters": 626, "latency": 1e-4}) == "626 parameters, 0.1 ms latency"


def test_what_is_over_a_limit_is_told_with_as_many_digits_as_it_takes() -> None:
    limits = Limits(parameters="5M", latency="20ms")  # type: ignore[arg-type]
    assert limits.beyond({"parameters": 7.2e6, "latency": 0.03}) == (
        "7.2M parameters of at most 5M, 30 ms latency of at most 20 ms"
    )
    assert limits.beyond({"parameters": 5_000_001, "latency": 0.02}) == "5.000001M parameters of at most 5M"
    assert limits.beyond({"parameters": 5e6, "latency": 0.02}) == ""
    assert limits.excess({"parameters": 7.5e6}) == {"parameters": 0.5, "latency": 0.0}


# --- what is refused before a search


def refused(**sections: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(search_config(**sections))
    return str(error.value)


def test_a_section_without_a_limit_is_refused() -> None:
    assert "must have at least one of parameters, flops, latency, memory" in refused(limits={})
    assert "did you mean 'parameters'" in refused(limits={"parameter": 5})


def test_memory_is_refused_on_a_cpu_with_the_way_out() -> None:
    text = refused(limits={"memory": "2GB"})
    assert "limits.memory: received 2 GB, which is of a GPU, and resources.gpus_per_trial is 0" in text
    load_config(search_config(limits={"memory": "2GB"}, resources={"gpus_per_trial": 0.5}))


def test_a_training_function_has_no_model_to_measure_beforehand() -> None:
    sections = {"task": "own_functions:shows", "trial": {}, "limits": {"parameters": "5M"}}
    assert "a training function makes its own while it runs; leave them out, or write" in refused(**sections)


# --- a search


def test_a_trial_over_a_limit_trains_nothing_and_says_why(tmp_path: Path) -> None:
    summary = search_locally(search_config(limits=SMALL, budget=FEW), results=tmp_path)
    run = tmp_path / "digits"
    records = read_records(run / "study.journal")
    large = [record for record in records if record.params["model.hidden"] == 32]
    assert large
    for record in records:
        hidden = record.params["model.hidden"]
        assert record.measured == {"parameters": 77.0 * hidden + 10, "flops": 148.0 * hidden}
        assert (record.outcome is Outcome.OVER_LIMIT) == (hidden == 32) == (not record.values)
    reason = "2.47k parameters of at most 1.3k"
    assert {record.reason for record in large} == {reason}
    assert summary.over_limit == {str(record.number): reason for record in large}
    assert summary.counts["over the limit"] == len(large)
    assert summary.trials == len(records) == FEW["trials"]
    assert not any(list((run / "trials" / f"{r.number:04}").glob("checkpoint_*")) for r in large)
    assert summary.best is not None
    assert summary.best.measured == records[summary.best.trial].measured
    text = summary_text(summary)
    assert f"over the limit, not trained:\n  {large[0].number}  {reason}" in text
    assert f"  {measured_text(summary.best.measured)}" in text
    table = Run(run).trials
    assert list(table["measured_parameters"]) == [r.measured["parameters"] for r in records]
    assert "measured_latency" not in table


def test_measuring_changes_nothing_in_a_trial(tmp_path: Path) -> None:
    wide = {"parameters": "1G", "flops": "1G", "latency": "1000s"}
    search_locally(search_config(budget=FEW), results=tmp_path / "without")
    search_locally(search_config(budget=FEW, limits=wide), results=tmp_path / "with")
    without, measured = (
        read_records(tmp_path / name / "digits" / "study.journal") for name in ("without", "with")
    )
    assert outcomes(measured) == outcomes(without)
    assert all(0 < record.measured["latency"] < 1 for record in measured)
    without_limits, with_them = (
        {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob(WEIGHTS)}
        for folder in (tmp_path / "without", tmp_path / "with")
    )
    assert without_limits == with_them
    assert len(with_them) >= 3


def test_the_limits_of_a_search_stay(tmp_path: Path) -> None:
    search_locally(search_config(limits=SMALL, budget=FEW), results=tmp_path)
    with pytest.raises(ConfigError, match=r"limits\.parameters: was 1300 when this") as error:
        resume_locally(tmp_path / "digits", overrides=["limits.parameters=5000"])
    assert "for another search take another" in str(error.value)


# --- a search that dies


def test_the_last_screen_has_what_was_measured_of_the_winner_of_a_race(tmp_path: Path) -> None:
    """Before, only where it was the search's best too."""
    config = search_config(
        trial={"model": {"hidden": {"choice": [8, 32]}}, "batch_size": 16},
        sampler={"name": "grid"},
        scheduler={"name": "none"},
        budget={"trials": 2, "max_virtual_epochs": 1},
        limits={"parameters": "1M"},
        confirm={"top": 2, "seeds": 2},
    )
    done = search_locally(config, results=tmp_path)
    assert done.confirmed is not None
    assert done.best is not None
    for winner, other in (done.confirmed.candidates, done.confirmed.candidates[::-1]):
        race = replace(done.confirmed, winner=winner.trial, candidates=[winner, other])
        told = summary_text(replace(done, confirmed=race, best=replace(done.best, trial=other.trial)))
        assert (
            f"  model.hidden = {winner.params['model.hidden']}\n  {measured_text(winner.measured)}\n" in told
        )
        assert winner.measured["parameters"] == 77 * winner.params["model.hidden"] + 10
    again = read_summary(RunFolder(Path(done.folder)))
    assert again == done


def test_what_is_recorded_is_not_measured_again(tmp_path: Path) -> None:
    """The study says that a model was slow, which it is not: the trial ends as if it were."""
    config = config_of(limits={"latency": "1s"})
    study = Simulation(tmp_path, config).study
    record = study.ask()
    study.measure(record, {"latency": 1.5})
    (again,) = read_records(tmp_path / "study.journal")
    assert again.measured == {"latency": 1.5}
    expected = (Outcome.OVER_LIMIT, "1.5 s latency of at most 1 s")
    assert over_limit(again, config.limits) == expected
    assert recovery_of(again, study, NoScheduler(), config).ended == expected
    (taken_up, *_) = Simulation(tmp_path, config).records
    assert (taken_up.outcome, taken_up.reason) == expected


# --- what the sampler learns


def test_a_trial_over_a_limit_has_the_lowest_score() -> None:
    over = trial(1, outcome=Outcome.OVER_LIMIT)
    records = [trial(0, 0.1), over, trial(2, 0.5)]
    assert {r.number: s for r, s in HalvingScores(records, Rungs(), "max")()} == {1: 0.0, 0: 0.5, 2: 1.0}


def test_the_view_shows_by_how_much_each_trial_is_over_its_limits(tmp_path: Path) -> None:
    config = config_of(limits={"parameters": 1000, "latency": "10ms"})
    study = Simulation(tmp_path, config).study
    for measured in ({"parameters": 1500.0, "latency": 0.005}, {"parameters": 500.0}, {}):
        study.measure(study.ask(), measured)
    study.finish(study.records[0], Outcome.OVER_LIMIT, "too large")
    shown = StudyView(study, Rungs(), limits=config.limits)()
    assert [frozen.constraints for frozen in shown] == [{"parameters": 0.5, "latency": -0.5}]
    for record in study.records:
        record.running = record.outcome is None
    shown = StudyView(study, Rungs(), limits=config.limits)()
    assert [frozen.constraints for frozen in shown[1:]] == [
        {"parameters": -0.5, "latency": 0.0},
        {"parameters": 0.0, "latency": 0.0},
    ]
    assert all(not frozen.constraints for frozen in StudyView(study, Rungs())())


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_the_sampler_learns_where_trials_are_within_the_limits(tmp_path: Path, sampler: str) -> None:
    """Of eight widths two are allowed: after the random trials most are of these."""
    widths = [8, 16, 32, 64, 128, 256, 512, 1024]
    space = {"model": {"hidden": {"choice": widths}}, "optimizer": {"name": "adamw", "lr": 0.01}}
    config = config_of(
        {**space, "batch_size": 16},
        limits={"parameters": 1300},
        budget={"trials": 24, "max_virtual_epochs": 1},
        sampler={"name": sampler, "seed": 0},
        scheduler={"name": "none"},
    )
    simulation = Simulation(tmp_path, config)
    study = simulation.study
    for number in range(24):
        record = study.ask()
        hidden = record.params["model.hidden"]
        study.measure(record, {"parameters": 77.0 * hidden + 10})
        if (end := over_limit(record, config.limits)) is not None:
            study.finish(record, *end)
        else:
            study.report(record, hidden / 100 + number / 1e4, simulation.lengths(record), 1)
            study.finish(record, Outcome.COMPLETED, "full length")
    within = [record.outcome is Outcome.COMPLETED for record in study.records]
    assert sum(within[:10]) <= 5
    assert sum(within[12:]) >= 6


def test_trials_over_a_limit_do_not_count_among_those_of_a_rung() -> None:
    scheduler, others = ASHA(Rungs(), "max", 9), [trial(0, 0.1), trial(1, 0.2)]
    over = [trial(number, outcome=Outcome.OVER_LIMIT) for number in range(2, 8)]
    assert promote(scheduler, *others, *over) is None
    assert promote(scheduler, *others, *over, trial(8, 0.15)) == 1
