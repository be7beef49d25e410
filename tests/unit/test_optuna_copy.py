"""`dashboard`: what the copy for Optuna's tools holds."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from in_process import search_locally
from listed_runs import asked, begun, reading
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from simulated_search import FLAT_SPACE, by_number, config_of
from tiny_tasks import search_config

import search
from search.errors import RefusedError, SearchError
from search.optuna_copy.trials import OptunaTrials
from search.run.outcome.summary import Summary
from search.study.data import change_data
from search.study.trial import Outcome
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


def studies(file: Path) -> dict[str, optuna.Study]:
    """Those of a journal, opened as Optuna's tools do."""
    storage = JournalStorage(JournalFileBackend(str(file)))
    names = optuna.get_all_study_names(storage)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in names}


def copied(run: Path) -> dict[str, optuna.Study]:
    return studies(search.dashboard(run).file)


def numbers(study: optuna.Study) -> list[int]:
    return [trial.user_attrs["trial"] for trial in study.trials]


def test_a_finished_run_has_a_study_of_all_trials_and_one_for_each_rung_and_full_length(
    finished_run: Summary, tmp_path: Path
) -> None:
    copy = search.dashboard(finished_run.folder, tmp_path / "copy.journal")
    found = studies(copy.file)
    names = ["digits", *(f"digits at virtual epoch {rung}" for rung in (1, 3, 9))]
    assert list(found) == [study.name for study in copy.studies] == names
    assert numbers(found["digits"]) == list(range(9))
    assert finished_run.best is not None
    best = found["digits"].best_trial
    assert best.number == finished_run.best.trial
    assert best.value == finished_run.best.mean  # by which it is ranked
    assert best.params == finished_run.best.params
    assert found["digits"].metric_names == ["accuracy"]


def test_each_rung_compares_all_that_reached_it_by_their_best_up_to_there(tmp_path: Path) -> None:
    simulation = begun(tmp_path / "run", workers=2).run(max_reports=30)
    found = copied(tmp_path / "run")
    for rung in (1, 3):
        study = found[f"run at virtual epoch {rung}"]
        there = [record for record in simulation.records if record.depth >= rung]
        assert numbers(study) == [record.number for record in there]
        assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
        assert [trial.value for trial in study.trials] == [max(r.values[:rung]) for r in there]
        for trial, record in zip(study.trials, there, strict=True):
            assert trial.intermediate_values == dict(enumerate(record.values[:rung], 1))
            assert trial.params == record.params


def test_paused_trials_are_pruned_with_a_value_and_an_end_and_no_trial_is_there_twice(tmp_path: Path) -> None:
    simulation = begun(tmp_path / "run", workers=2).run(max_reports=16)
    found = copied(tmp_path / "run")["run"]
    states = {trial.number: trial.user_attrs["state"] for trial in found.trials}
    assert set(states.values()) >= {"paused", "unfinished"}
    for trial, record in zip(found.trials, simulation.records, strict=True):
        assert trial.intermediate_values == dict(enumerate(record.values, 1))
        if states[trial.number] == "paused":
            assert trial.state is TrialState.PRUNED
            assert trial.value == record.standing("max")
            assert trial.datetime_complete is not None
        else:
            assert trial.state is TrialState.WAITING


def test_what_went_on_after_its_end_is_one_trial(tmp_path: Path) -> None:
    config = asked(budget={"trials": 4, "max_virtual_epochs": 3})
    begun(tmp_path / "run", config).run()
    begun(tmp_path / "run", asked(budget={"trials": 4, "max_virtual_epochs": 9})).run()
    original = studies(tmp_path / "run/study.journal")["digits"]
    assert len(original.trials) > 4
    found = copied(tmp_path / "run")["run"]
    assert numbers(found) == [0, 1, 2, 3]
    again = original.trials[-1].user_attrs["trial"]
    first = next(trial for trial in original.trials if trial.user_attrs["trial"] == again)
    assert found.trials[again].datetime_start == first.datetime_start
    assert found.trials[again].datetime_start < original.trials[-1].datetime_start


def test_trials_that_broke_off_are_the_best_nowhere(tmp_path: Path) -> None:
    def fails(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        return FailureKind.DIED if number == 0 and virtual_epoch == 2 else None

    config = asked(scheduler={"name": "asha"}, max_failures=0)
    curve = by_number([1.0 - number / 100 for number in range(12)])
    simulation = begun(tmp_path / "run", config, curve=curve, faults=fails)
    simulation.run(max_reports=4)
    study, record = simulation.study, simulation.records[1]
    assert record.outcome is None
    study.finish(record, Outcome.DIVERGED, "loss is nan")
    simulation.run()
    found = copied(tmp_path / "run")
    assert [found["run"].trials[n].state for n in (0, 1)] == [TrialState.FAIL, TrialState.PRUNED]
    assert found["run"].trials[1].value is None
    at_rung = found["run at virtual epoch 1"]
    assert [at_rung.trials[n].state for n in (0, 1)] == [TrialState.FAIL, TrialState.PRUNED]
    assert at_rung.best_trial.user_attrs["trial"] == 2


def test_trials_of_other_data_are_compared_nowhere(tmp_path: Path) -> None:
    journal = tmp_path / "run/study.journal"
    simulation = begun(tmp_path / "run")
    change_data(journal, "as they were")
    simulation.run(max_reports=40)
    change_data(journal, "as they are now")
    found = copied(tmp_path / "run")
    assert list(found) == ["run"]
    assert len(found["run"].trials) == len(simulation.records)
    assert {trial.state for trial in found["run"].trials} <= {TrialState.PRUNED, TrialState.FAIL}
    assert {trial.value for trial in found["run"].trials} == {None}


def test_several_objectives_give_a_study_of_several_and_what_is_over_a_limit_is_infeasible(
    tmp_path: Path,
) -> None:
    objectives = [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]
    sections = search_config(budget={"trials": 6, "max_virtual_epochs": 3}, limits={"parameters": 2000})
    del sections["objective"]
    summary = search_locally(sections | {"objectives": objectives}, results=tmp_path)
    assert summary.over_limit
    found = copied(Path(summary.folder))["digits at virtual epoch 3"]
    assert [direction.name for direction in found.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert found.metric_names == ["accuracy", "parameters"]
    whole = copied(Path(summary.folder))["digits"]
    for trial in whole.trials:
        over = str(trial.number) in summary.over_limit
        assert (max(trial.constraints.values()) > 0) == over
        assert trial.state is (TrialState.PRUNED if over else trial.state)
        assert over == (trial.values is None)
    # A version that did not measure it yet: the objective counts as infinite, which JSON has not.
    stage = reading(Path(summary.folder)).stages[0]
    unmeasured = next(record for record in stage.records if record.depth == 3)
    unmeasured.measured.clear()
    trials = OptunaTrials(stage, is_running=False)
    for of in (trials.of_search(), trials.at_rung(1), trials.at_full_length()):
        (trial,) = (each for each in of if each.user_attrs["trial"] == unmeasured.number)
        assert (trial.state, trial.values) == (TrialState.PRUNED, None)


def test_a_population_is_copied_with_the_values_of_each_trials_best_virtual_epoch(tmp_path: Path) -> None:
    scheduler = {"name": "pbt", "interval": 3, "quantile": 0.25}
    budget = {"trials": 6, "max_virtual_epochs": 9}
    config = config_of(FLAT_SPACE, budget=budget, scheduler=scheduler, sampler={"name": "random", "seed": 0})
    simulation = begun(tmp_path / "run", config).run()
    assert any(record.taken_over for record in simulation.records)
    found = copied(tmp_path / "run")
    assert list(found) == ["run", "run at virtual epoch 9"]
    for trial, record in zip(found["run"].trials, simulation.records, strict=True):
        assert trial.params == record.params_at(record.best_virtual_epoch("max"))


def test_a_trial_that_went_on_from_one_with_another_option_is_copied_with_its_parameters(
    tmp_path: Path,
) -> None:
    scheduler = {"name": "pbt", "interval": 3, "quantile": 0.25}
    simulation = begun(tmp_path / "run", asked(scheduler=scheduler)).run()
    best = {r.number: r.params_at(r.best_virtual_epoch("max")) for r in simulation.records}
    assert any(best[r.number].keys() - r.drawn.keys() for r in simulation.records if r.taken_over)
    assert {t.user_attrs["trial"]: t.params for t in copied(tmp_path / "run")["run"].trials} == best


def test_the_studies_journal_is_not_touched_and_only_a_copy_is_replaced(tmp_path: Path) -> None:
    begun(tmp_path / "run").run(max_reports=8)
    journal = tmp_path / "run/study.journal"
    before = journal.read_bytes()
    for other in (journal, tmp_path / "run/config.yaml"):
        with pytest.raises(RefusedError, match=r"no copy that this command wrote; choose another with --out"):
            search.dashboard(tmp_path / "run", other)
    first = search.dashboard(tmp_path / "run")
    assert first.file == tmp_path / "run/optuna.journal"
    begun(tmp_path / "run").run(max_reports=8)
    grown = journal.read_bytes()
    assert len(search.dashboard(tmp_path / "run").studies[0].trials) > len(first.studies[0].trials)
    assert journal.read_bytes() == grown
    assert grown.startswith(before)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "config.yaml",
        "optuna.journal",
        "study.journal",
    ]


def test_a_run_without_a_trial_and_a_damaged_one_are_refused(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    with pytest.raises(RefusedError, match="has no trial yet"):
        search.dashboard(tmp_path / "run")
    (tmp_path / "run/study.journal").write_text(json.dumps([]) + "\n{}\n")
    with pytest.raises(SearchError, match="is damaged"):
        search.dashboard(tmp_path / "run")
    assert not (tmp_path / "run/optuna.journal").exists()
