"""What samplers see of a study: halving scores, and each trial as one of the current space."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from records import STEPS_OF_5, trial
from simulated_search import (
    FLAT_SPACE,
    SPACE,
    Simulation,
    config_of,
    learning_curve,
    open_study,
    outcomes,
)

from search.samplers.view import MAX_LEARNED, HalvingScores, StudyView, _thinned
from search.schedulers.base import Rungs
from search.study.reading import read_records
from search.study.scores import began_with
from search.study.study import JOURNAL
from search.study.trial import Outcome, TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")


# --- scores


def scores(records: list[TrialRecord], mode: Any = "max") -> dict[int, float]:
    return {record.number: score for record, score in HalvingScores(records, Rungs(), mode)()}


def test_a_deeper_rung_ranks_above_a_better_value_at_a_shallow_one() -> None:
    records = [trial(0, 0.9), trial(1, 0.1, 0.2, 0.3), trial(2, 0.5), trial(3, 0.1, 0.1, 0.1)]
    found = scores(records)
    assert sorted(found, key=found.__getitem__) == [2, 0, 3, 1]
    assert (min(found.values()), max(found.values())) == (0.0, 1.0)


def test_with_mode_min_the_smaller_value_scores_higher() -> None:
    assert scores([trial(0, 0.9), trial(1, 0.1)], "min") == {0: 0.0, 1: 1.0}


def test_a_full_length_ranks_above_its_last_rung() -> None:
    found = scores([trial(0, *[0.9] * 3), trial(1, *[0.5] * 4, outcome=Outcome.COMPLETED)])
    assert found[1] > found[0]


def test_a_former_full_length_ranks_with_its_last_rung_once_another_trial_has_gone_further() -> None:
    former = [trial(n, *[value] * 3, outcome=Outcome.COMPLETED) for n, value in enumerate([0.5, 0.3])]
    rung = trial(2, *[0.4] * 3)
    assert scores([*former, rung])[1] > scores([*former, rung])[2]
    further = trial(3, *[0.1] * 9)
    found = scores([*former, rung, further])
    assert sorted(found, key=found.__getitem__) == [1, 2, 0, 3]


def test_diverged_and_out_of_memory_rank_worst_and_failed_is_left_out() -> None:
    records = [
        trial(0, 0.9, 0.9, 0.9, outcome=Outcome.DIVERGED),
        trial(1, outcome=Outcome.OUT_OF_MEMORY),
        trial(2, 0.9, outcome=Outcome.FAILED),
        trial(3, 0.1),
        trial(4),
    ]
    assert scores(records) == {0: 0.0, 1: 0.0, 3: 1.0}


def test_equals_score_alike() -> None:
    found = scores([trial(0, 0.5), trial(1, 0.5), trial(2, 0.7)])
    assert found[0] == found[1] < found[2]


@pytest.mark.parametrize("min_trials", [1, 3])
def test_scores_that_follow_a_search_are_those_of_all_its_trials_at_once(
    min_trials: int, tmp_path: Path
) -> None:
    """So each trial is drawn from the same view, bit for bit, whether scores were kept or computed anew."""
    trials = {"budget": {"trials": 40, "max_virtual_epochs": 9}}
    simulation = Simulation(
        tmp_path, config_of(sampler={"name": "random"}, **trials), failing_curve, workers=3
    )
    study, rungs = simulation.study, simulation.rule.rungs
    kept = study.indexes.get(
        "kept", lambda: HalvingScores(study.records, rungs, "max", min_trials=min_trials)
    )
    compared = 0
    for reports in range(1, 200):
        simulation.run(max_reports=1)
        anew = HalvingScores(study.records, rungs, "max", min_trials=min_trials)
        assert list(kept()) == list(anew()), reports
        assert kept.num_scored == anew.num_scored
        compared += kept.num_scored
    outcomes = {record.outcome for record in study.records}
    assert {Outcome.COMPLETED, Outcome.DIVERGED} <= outcomes
    assert compared > 1000


def failing_curve(record: TrialRecord, virtual_epoch: int) -> float:
    return (
        math.nan if record.number % 7 == 3 and virtual_epoch == 2 else learning_curve(record, virtual_epoch)
    )


# --- capped scores


def capped(records: list[TrialRecord], min_trials: int) -> list[int]:
    """Numbers, the worst first."""
    found = dict(HalvingScores(records, Rungs(), "max", min_trials=min_trials)())
    return [record.number for record in sorted(found, key=found.__getitem__)]


def test_with_a_cap_a_rung_counts_once_enough_trials_have_reached_it() -> None:
    shallow, deep = [trial(0, 0.9), trial(1, 0.2)], [trial(2, 0.5, 0.5, 0.5), trial(3, 0.3, 0.4, 0.6)]
    assert capped([*shallow, *deep], 1) == capped([*shallow, *deep], 2) == [1, 0, 2, 3]
    assert capped([*shallow, *deep], 3) == [1, 3, 2, 0]


def test_with_a_cap_trials_beyond_it_are_compared_by_what_they_had_reached_there() -> None:
    beyond, others = trial(0, 0.1, *[0.9] * 8), [trial(1, 0.2, 0.2, 0.2), trial(2, 0.3), trial(3, 0.05)]
    assert capped([beyond, *others], 3) == [3, 0, 1, 2]
    assert capped([beyond, *others], 2) == [3, 2, 1, 0]


def test_with_a_cap_the_first_rung_counts_from_the_first_trial_on() -> None:
    records = [trial(0), trial(1, 0.4, 0.9, 0.9), trial(2, 0.5), trial(3, outcome=Outcome.DIVERGED)]
    assert capped(records, 30) == [3, 1, 2]


def test_with_a_cap_the_full_length_is_a_rung_too() -> None:
    whole = [trial(n, *[0.1 * (n + 1)] * 4, outcome=Outcome.COMPLETED) for n in range(2)]
    records = [*whole, trial(2, *[0.9] * 3), trial(3, *[0.05] * 3)]
    assert capped(records, 2) == [3, 2, 0, 1]
    assert capped(records, 3) == [3, 0, 1, 2]


# --- the view


def test_in_the_view_paused_trials_are_complete_and_running_ones_run(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})

    def curve(record: TrialRecord, virtual_epoch: int) -> float:
        return math.nan if record.number == 1 else learning_curve(record, virtual_epoch)

    simulation = Simulation(tmp_path, config, curve, workers=2).run(max_reports=7)
    study = simulation.study
    view = StudyView(study, simulation.rule.rungs)()
    states = {frozen.number: frozen.state for frozen in view}
    for record in study.records:
        fresh = record.running and not record.values
        expected = TrialState.RUNNING if fresh else TrialState.COMPLETE
        assert states[record.number] is expected
    paused = [r for r in study.records if r.values and not r.running and r.outcome is None]
    assert len(paused) >= 2
    values = {frozen.number: frozen.value for frozen in view if frozen.state is TrialState.COMPLETE}
    assert values[1] == 0.0
    assert all(values[record.number] > 0.0 for record in paused)
    best = max(paused, key=lambda record: (record.depth, record.best("max")))
    assert values[best.number] == 1.0


def test_a_trial_that_goes_on_counts_with_what_it_has_shown(tmp_path: Path) -> None:
    """It goes on because it is among the best; taken for one without a value it would count as bad."""
    simulation = Simulation(tmp_path, config_of(sampler={"name": "random"}), workers=2)
    simulation.run(max_reports=11)
    going_on = [record for record in simulation.study.records if record.running and record.values]
    assert going_on
    view = {frozen.number: frozen for frozen in StudyView(simulation.study, simulation.rule.rungs)()}
    scores = dict(HalvingScores(simulation.study.records, simulation.rule.rungs, "max")())
    for record in going_on:
        assert view[record.number].state is TrialState.COMPLETE
        assert view[record.number].value == scores[record]


OTHER_SPACES: dict[str, tuple[dict[str, Any], Any]] = {
    # What is changed in FLAT_SPACE, and which of its trials could have been drawn from that.
    "categories": ({"model": {"hidden": {"choice": [64, 32, 16]}}}, lambda p: p["model.hidden"] != 8),
    "a range": ({"batch_size": {"randint": [8, 16]}}, lambda p: True),
    "a domain made fixed": ({"model": {"hidden": 16}}, lambda p: p["model.hidden"] == 16),
    "another fixed value": ({"batch_size": 8}, lambda p: False),
    "a fixed value made a domain": ({"batch_size": {"choice": [8, 16]}}, lambda p: True),
    "a new parameter": ({"accumulate": {"choice": [1, 2]}}, lambda p: False),
    "a narrower range": (
        {"optimizer": FLAT_SPACE["optimizer"] | {"lr": {"loguniform": [1e-3, 1e-1]}}},
        lambda p: p["optimizer.lr"] >= 1e-3,
    ),
}


@pytest.mark.parametrize("change", OTHER_SPACES)
def test_trials_of_another_space_are_seen_as_if_drawn_from_this_one_where_they_could_be(
    tmp_path: Path, change: str
) -> None:
    sections, fits = OTHER_SPACES[change]
    sampler = {"name": "random"}
    before = Simulation(tmp_path, config_of(FLAT_SPACE, sampler=sampler)).run().records
    study = open_study(tmp_path, config_of(FLAT_SPACE | sections, sampler=sampler))
    view = {frozen.number: frozen for frozen in StudyView(study, Rungs())()}
    assert set(view) == {record.number for record in before if fits(record.resolved.params)}
    names = set(study.space.names)
    for number, frozen in view.items():
        assert set(frozen.params) == set(frozen.distributions) == names
        known = {"batch_size": 16} | before[number].resolved.params
        assert frozen.params == {name: known[name] for name in names}
    record = study.ask()
    study.report(record, 0.5, STEPS_OF_5, seconds=1.0)
    assert {f.number: f.params for f in StudyView(study, Rungs())()}[9] == record.resolved.params


def test_where_a_choice_got_another_name_the_trials_of_the_other_choices_are_seen(tmp_path: Path) -> None:
    adamw, sgd = SPACE["optimizer"]["choice"]
    renamed = SPACE | {"optimizer": {"choice": [sgd | {"name": "rmsprop"}, adamw]}}
    before = Simulation(tmp_path, config_of(sampler={"name": "random"})).run().records
    study = open_study(tmp_path, config_of(renamed, sampler={"name": "random"}))
    seen = [frozen.number for frozen in StudyView(study, Rungs())()]
    assert seen == [r.number for r in before if r.resolved.params["optimizer"] == "adamw"]
    assert 0 < len(seen) < 9


def test_an_older_study_is_seen_before_the_first_trial_with_those_that_could_be_drawn_here(
    tmp_path: Path,
) -> None:
    older = Simulation(tmp_path / "older", config_of(SPACE, sampler={"name": "random"})).run()
    config = config_of(FLAT_SPACE, sampler={"name": "random"})
    simulation = Simulation(tmp_path / "new", config, history=read_records(tmp_path / "older" / JOURNAL)).run(
        max_reports=1
    )
    view = StudyView(simulation.study, simulation.rule.rungs)()
    fitting = [r for r in older.records if r.resolved.params["optimizer"] == "adamw"]
    assert [f.number for f in view] == [*(r.number for r in fitting), 9]
    assert [f.params["optimizer.lr"] for f in view[:-1]] == [
        r.resolved.params["optimizer.adamw.lr"] for r in fitting
    ]
    assert all(f.state is TrialState.COMPLETE for f in view)


# --- many trials


def test_of_very_many_trials_a_sampler_sees_the_best_and_some_of_the_others() -> None:
    scored = [(trial(number, number / 5000), number / 5000) for number in range(5000)]
    shown = [record.number for record, _ in _thinned(scored, len(scored))]
    assert len(set(shown)) == len(shown)
    assert 0.5 * MAX_LEARNED < len(shown) <= MAX_LEARNED
    assert shown[-150:] == list(range(4850, 5000))
    assert shown[:3] == [0, 16, 32]
    # One trial more, and nearly all are the same ones.
    more = [*scored, (trial(5000, 1.0), 1.0)]
    assert len({record.number for record, _ in _thinned(more, len(more))} - set(shown)) == 1
    assert _thinned(scored[:MAX_LEARNED], MAX_LEARNED) == scored[:MAX_LEARNED]


def test_scores_that_follow_a_study_are_those_of_its_records(tmp_path: Path) -> None:
    simulation = Simulation(tmp_path, config_of(budget={"trials": 12, "max_virtual_epochs": 9}))
    study = simulation.coordinator.study
    view = StudyView(study, Rungs())
    assert view() == []
    simulation.run()
    followed = {frozen.number: frozen.value for frozen in view()}
    assert len(followed) == 12
    made_anew = dict(HalvingScores(study.records, Rungs(), study.mode)())
    assert followed == {record.number: score for record, score in made_anew.items()}


def test_capped_scores_that_follow_a_study_are_those_of_its_records(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, budget={"trials": 14, "max_virtual_epochs": 9})
    simulation = Simulation(tmp_path, config, workers=3)
    study = simulation.coordinator.study
    view = StudyView(study, Rungs(), min_trials=4)
    while simulation.executor.step(simulation.coordinator):
        anew = HalvingScores(study.records, Rungs(), study.mode, min_trials=4)
        expected = {record.number: score for record, score in anew()}
        shown = {frozen.number: frozen.value for frozen in view() if frozen.state is TrialState.COMPLETE}
        assert shown == expected
    assert max(record.depth for record in study.records) == 9


@pytest.mark.parametrize("chosen", [{"scores": "capped"}, {"kernels": "one_width"}], ids=str)
def test_a_search_with_other_scores_or_kernels_that_is_interrupted_goes_on_as_if_it_were_not(
    chosen: dict[str, str], tmp_path: Path
) -> None:
    sampler = {"name": "tpe", "startup_trials": 4, **chosen}
    config = config_of(FLAT_SPACE, sampler=sampler, budget={"trials": 45, "max_virtual_epochs": 9})

    def noisy(record: TrialRecord, virtual_epoch: int) -> float:
        return learning_curve(record, virtual_epoch) + (record.number * virtual_epoch * 7919 % 13) / 20

    whole = outcomes(Simulation(tmp_path / "whole", config, noisy).run().records)
    Simulation(tmp_path / "cut", config, noisy).run(max_reports=70)
    assert outcomes(Simulation(tmp_path / "cut", config, noisy).run().records) == whole
    others = {"name": "tpe", "startup_trials": 4, "scores": "halving", "kernels": "gaps"}
    other = config_of(FLAT_SPACE, sampler=others, budget={"trials": 45, "max_virtual_epochs": 9})
    assert outcomes(Simulation(tmp_path / "other", other, noisy).run().records) != whole


def test_a_study_keeps_the_scores_that_it_began_with(tmp_path: Path) -> None:
    config = config_of(FLAT_SPACE)
    old = open_study(tmp_path, config_of(FLAT_SPACE, sampler={"name": "tpe", "scores": "halving"}))
    assert began_with(old, "scores", "halving", first="halving") == "halving"
    old.ask()
    # As one of a program that knew no others: nothing about scores stands in it.
    assert "scores" not in (tmp_path / JOURNAL).read_text(encoding="utf-8")
    assert began_with(open_study(tmp_path, config), "scores", "capped", first="halving") == "halving"
    (tmp_path / "new").mkdir()
    new = open_study(tmp_path / "new", config)
    assert began_with(new, "scores", "capped", first="halving") == "capped"
    new.ask()
    assert began_with(open_study(tmp_path / "new", config), "scores", "halving", first="halving") == "capped"
