"""Trials of other data than those of now: what compares trials leaves them out."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.samplers import RandomSampler
from records import STEPS_OF_5, decide, promote, trial
from simulated_search import SPACE, config_of

from search.run.recovery import OTHER_DATA, Recovery, is_cut_short, is_retried, recovery_of
from search.run.retention import trials_to_keep
from search.samplers.view import HalvingScores
from search.schedulers.asha import ASHA, ASHAStopping
from search.schedulers.base import Decision, NoScheduler, Rungs
from search.schedulers.optuna_pruner import completed
from search.study.data import change_data, data_of
from search.study.reading import read_records
from search.study.study import JOURNAL, SearchStudy
from search.study.trial import Outcome, best_record, ranked

pytestmark = pytest.mark.usefixtures("no_fsync")
OLD = {"of_other_data": True}


def study_in(folder: Path, data: str) -> SearchStudy:
    config = config_of(space=SPACE)
    return SearchStudy(
        folder / JOURNAL,
        name="x",
        mode="max",
        space=config.space,
        sampler=lambda study: RandomSampler(0),
        data=data,
    )


def test_the_best_is_one_of_the_data_of_now_where_one_has_a_value() -> None:
    old, better, new = trial(0, 0.8, **OLD), trial(1, 0.9, **OLD), trial(2, 0.1)
    assert best_record([old, better, new], "max") is new
    assert ranked([old, better, new], "max") == [new, better, old]
    assert best_record([old, better, trial(3)], "max") is better


def test_the_best_of_before_keeps_its_checkpoints() -> None:
    trials = [trial(0, 0.8, **OLD), trial(1, 0.9, **OLD), trial(2, 0.1), trial(3, 0.2)]
    assert trials_to_keep(trials, mode="max", keep_trials=1, going_on=()) == {1, 3}


def test_trials_are_compared_at_rungs_with_those_of_their_own_data() -> None:
    scheduler = ASHA(Rungs(1, 3), "max", 9)
    paused = [trial(number, 0.9 - number / 10, **OLD) for number in range(3)]
    current = [trial(number, number / 100) for number in range(3, 6)]
    assert promote(scheduler, *paused) is None
    assert promote(scheduler, *paused, closing=True) is None
    assert promote(scheduler, *paused, *current) == 5
    assert decide(ASHAStopping(Rungs(1, 3), "max"), trial(9, 0.1), *paused) is Decision.GO_ON


def test_one_of_before_that_was_trained_to_its_end_does_not_keep_another_from_it() -> None:
    whole = trial(0, *[0.9] * 9, outcome=Outcome.COMPLETED, **OLD)
    assert promote(ASHA(Rungs(1, 3), "max", 9), whole, trial(1, 0.1), closing=True) == 1


def test_samplers_learn_from_the_trials_of_the_data_of_now() -> None:
    found = HalvingScores([trial(0, 0.9, **OLD), trial(1, 0.1), trial(2, 0.2)], Rungs(), "max")()
    assert [record.number for record, _ in found] == [1, 2]


def test_one_that_has_not_ended_ends_and_one_without_a_report_begins() -> None:
    config = config_of(space=SPACE)
    for scheduler in (NoScheduler(), ASHA(Rungs(1, 3), "max", 9)):
        arguments = (None, scheduler, config)
        ended = recovery_of(trial(0, 0.5, **OLD), *arguments)  # type: ignore[arg-type]
        assert ended == Recovery(runs=False, ended=(Outcome.STOPPED, OTHER_DATA))
        assert recovery_of(trial(0, **OLD), *arguments) == Recovery(runs=True)  # type: ignore[arg-type]
    stopped = trial(0, 0.5, outcome=Outcome.STOPPED, stopped_by_budget=True)
    assert is_cut_short(stopped, config, lambda record: True)
    stopped.of_other_data = True
    assert not is_cut_short(stopped, config, lambda record: True)


def test_the_study_knows_which_data_each_trial_was_trained_on(tmp_path: Path) -> None:
    study = study_in(tmp_path, "a")
    first = study.ask()
    study.report(first, 0.5, STEPS_OF_5, 1.0)
    assert '"data":' not in (tmp_path / JOURNAL).read_text().splitlines()[-4]  # 0 is not written
    change_data(tmp_path / JOURNAL, "b")
    change_data(tmp_path / JOURNAL, "b")  # after a kill
    assert data_of(tmp_path / JOURNAL) == ["a", "b"]
    study = study_in(tmp_path, "b")
    second = study.ask()
    assert [record.data_number for record in study.records] == [0, 1]
    assert [record.of_other_data for record in read_records(tmp_path / JOURNAL)] == [True, False]
    change_data(tmp_path / JOURNAL, "a")
    assert [record.of_other_data for record in read_records(tmp_path / JOURNAL)] == [False, True]
    study = study_in(tmp_path, "a")
    study.begin_on_new_data(study.records[second.number])
    assert [record.data_number for record in read_records(tmp_path / JOURNAL)] == [0, 2]
    assert not any(record.of_other_data for record in read_records(tmp_path / JOURNAL))


def test_a_study_without_data_has_no_other_data(tmp_path: Path) -> None:
    study = study_in(tmp_path, "")
    study.ask()
    assert data_of(tmp_path / JOURNAL) == []
    study_in(tmp_path, "a").ask()
    assert [record.of_other_data for record in read_records(tmp_path / JOURNAL)] == [False, False]


def test_pruners_and_plateaus_see_the_trials_of_the_data_of_now(tmp_path: Path) -> None:
    study = study_in(tmp_path, "a")
    study.report(study.ask(), 0.5, STEPS_OF_5, 1.0)
    study.finish(study.records[0], Outcome.COMPLETED, "full length")
    assert len(completed(study)) == 1
    change_data(tmp_path / JOURNAL, "b")
    study = study_in(tmp_path, "b")
    assert completed(study) == []


def test_a_failed_trial_that_is_tried_again_begins_on_the_data_of_now(tmp_path: Path) -> None:
    study = study_in(tmp_path, "a")
    study.finish(study.ask(), Outcome.FAILED, "an error")
    change_data(tmp_path / JOURNAL, "b")
    study = study_in(tmp_path, "b")
    (record,) = study.records
    assert is_retried(record)
    record.resumable = True
    assert recovery_of(record, study, NoScheduler(), config_of(space=SPACE)).runs
    study.begin_on_new_data(record)
    study.promote(record)
    (again,) = read_records(tmp_path / JOURNAL)
    assert (again.data_number, again.of_other_data, again.outcome) == (1, False, None)
    assert not is_retried(trial(0, 0.5, outcome=Outcome.FAILED, **OLD))
