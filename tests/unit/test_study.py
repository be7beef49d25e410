from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from simulated_search import FLAT_SPACE, SPACE, Simulation, config_of, open_study, outcomes

from search.errors import SearchError
from search.schedulers.optuna_pruner import completed
from search.study.in_memory import UnknownParameterError
from search.study.reading import read_records
from search.study.study import JOURNAL, SearchStudy
from search.study.trial import Outcome, TrialRecord, ranked
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import Failure, FailureKind

CONFIG: dict[str, Any] = {"sampler": {"name": "random"}}
LENGTHS = VirtualEpochs(unit="samples", count=100, step_samples=16, epoch_samples=None)
BURNT = Failure(FailureKind.DIED, "the machine caught fire")


def make_study(folder: Path, space: Any = FLAT_SPACE, **sections: Any) -> SearchStudy:
    return open_study(folder, config_of(space, **CONFIG | sections))


def reported(study: SearchStudy, *values: float) -> TrialRecord:
    """A new trial with these values."""
    record = study.ask()
    for number, value in enumerate(values, start=1):
        study.report(record, value, LENGTHS, seconds=float(number))
    return record


def held(record: TrialRecord) -> dict[str, Any]:
    """All of a record that is on disk."""
    in_this_process = ("running", "resumable")
    return {key: value for key, value in vars(record).items() if key not in in_this_process}


def test_what_is_recorded_is_read_back(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    record = study.ask({"model.hidden": 8})
    study.report(record, 0.1, LENGTHS, seconds=1.5)
    study.report(record, 0.7, LENGTHS, seconds=3.0)
    study.promote(record)
    study.report(record, 0.3, LENGTHS, seconds=4.5)
    study.add_failure(record, BURNT)
    study.add_failure(record, Failure(FailureKind.HUNG, "took more than 3 s", host="host-2"))
    study.finish(reported(study, 0.5), Outcome.STOPPED, "why", stopped_by_budget=True)
    study.save_elapsed(12.3)
    again = make_study(tmp_path)
    assert [held(r) for r in again.records] == [held(r) for r in study.records]
    assert (again.records[0].values, again.records[0].promoted_at) == ([0.1, 0.7, 0.3], 2)
    assert (again.records[0].steps, again.records[0].samples) == (19, 304)
    assert again.records[0].known == {"model.hidden": 8}
    assert [failure.host for failure in again.records[0].failures] == ["", "host-2"]
    assert (again.elapsed_seconds, again.last_sequence) == (12.3, 5)


@pytest.mark.parametrize(
    ("outcome", "state", "value"),
    [
        (Outcome.COMPLETED, TrialState.COMPLETE, (0.7 + 0.3) / 2),
        (Outcome.STOPPED, TrialState.PRUNED, (0.7 + 0.3) / 2),
        (Outcome.DIVERGED, TrialState.PRUNED, None),
        (Outcome.OUT_OF_MEMORY, TrialState.PRUNED, None),
        (Outcome.FAILED, TrialState.FAIL, None),
    ],
)
def test_optuna_is_told_once_how_a_trial_ended(
    tmp_path: Path, outcome: Outcome, state: TrialState, value: float | None
) -> None:
    study = make_study(tmp_path)
    record = reported(study, 0.1, 0.7, 0.3)
    study.finish(record, outcome, "why")
    frozen = study.frozen(record)
    assert (frozen.state, frozen.value) == (state, value)
    assert frozen.intermediate_values == {1: 0.1, 2: 0.7, 3: 0.3}
    written = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(AssertionError):
        study.finish(record, outcome, "again")
    with pytest.raises(AssertionError):
        study.report(record, 0.9, LENGTHS, seconds=4.0)
    assert (tmp_path / JOURNAL).read_bytes() == written
    (again,) = make_study(tmp_path).records
    assert (again.outcome, again.reason) == (outcome, "why")


def test_a_stopped_trial_without_a_value_is_pruned(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.finish(study.ask(), Outcome.STOPPED, "the search ended")
    assert study.study.get_trials()[0].state is TrialState.PRUNED


def test_optuna_opens_the_journal_as_it_is(tmp_path: Path) -> None:
    Simulation(tmp_path, config_of(**CONFIG)).run()
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / JOURNAL))
    study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))
    assert len(study.trials) == 9
    assert study.direction is optuna.study.StudyDirection.MAXIMIZE
    assert study.best_value == ranked(read_records(tmp_path / JOURNAL), "max")[0].mean("max")


def test_opening_a_study_again_writes_nothing(tmp_path: Path) -> None:
    Simulation(tmp_path, config_of(**CONFIG)).run(max_reports=7)
    before = (tmp_path / JOURNAL).read_bytes()
    open_study(tmp_path, config_of(**CONFIG))
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_a_renamed_search_goes_on_with_its_study(tmp_path: Path) -> None:
    make_study(tmp_path, name="before").ask()
    renamed = make_study(tmp_path, name="after")
    assert len(renamed.records) == 1
    renamed.ask()
    assert len(read_records(tmp_path / JOURNAL)) == 2


def test_a_known_point_is_taken_and_the_rest_is_drawn(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    record = study.ask({"model.hidden": 8})
    assert record.resolved.options["model"]["hidden"] == 8
    assert set(record.resolved.params) == {"model.hidden", "optimizer.lr", "optimizer.weight_decay"}


def test_a_study_without_a_sampler_takes_whole_known_points_only(tmp_path: Path) -> None:
    config = config_of(FLAT_SPACE)
    study = SearchStudy(tmp_path / JOURNAL, name="x", mode="max", space=config.space)
    written = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(UnknownParameterError):
        study.ask({"model.hidden": 8})
    assert (study.records, (tmp_path / JOURNAL).read_bytes()) == ([], written)
    point = {"model.hidden": 8, "optimizer.lr": 0.01, "optimizer.weight_decay": 1e-3}
    assert study.ask(point).resolved.params == point


def test_a_trial_is_in_the_journal_with_all_of_its_parameters_or_not_at_all(tmp_path: Path) -> None:
    study = make_study(tmp_path, SPACE)
    before = (tmp_path / JOURNAL).read_bytes()
    record = study.ask()
    (line,) = (tmp_path / JOURNAL).read_bytes()[len(before) :].splitlines()
    assert set(json.loads(line)["params"]) == set(record.resolved.params)


def test_trials_that_others_added_to_the_study_are_left_alone(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study.ask()
    study.study.ask()
    study.study.enqueue_trial({"model.hidden": 8})
    study.ask()
    again = make_study(tmp_path)
    assert [(r.number, r.trial_id) for r in again.records] == [(0, 0), (1, 3)]
    again.report(again.records[1], 0.5, LENGTHS, seconds=1.0)
    assert again.study.get_trials()[3].intermediate_values == {1: 0.5}
    again.finish(again.records[1], Outcome.COMPLETED, "full length")
    again.study.tell(again.study.get_trials()[1].number, 0.9)
    assert [t.number for t in completed(again)] == [3]


# --- going on after an end


def test_a_trial_that_goes_on_after_its_end_is_a_new_optuna_trial_with_all_that_it_held(
    tmp_path: Path,
) -> None:
    study = make_study(tmp_path)
    study.ask()
    record = study.ask({"model.hidden": 8})
    study.report(record, 0.1, LENGTHS, seconds=1.0)
    study.report(record, 0.7, LENGTHS, seconds=2.0)
    study.add_failure(record, BURNT)
    study.finish(record, Outcome.STOPPED, "when the search ended", stopped_by_budget=True)
    old = study.frozen(record)
    before = held(record)
    study.promote(record)
    new = study.frozen(record)
    assert study.frozen(study.records[0]).number == 0
    assert (new.number, new.state, new.user_attrs["continues"]) == (2, TrialState.RUNNING, 1)
    assert (new.params, new.intermediate_values) == (old.params, old.intermediate_values)
    changed = {"trial_id": 2, "promoted_at": 2, "outcome": None, "reason": "", "stopped_by_budget": False}
    assert held(record) == before | changed
    study.report(record, 0.9, LENGTHS, seconds=3.0)
    study.finish(record, Outcome.COMPLETED, "full length")
    again = make_study(tmp_path)
    assert [held(r) for r in again.records] == [held(r) for r in study.records]
    assert [t.state for t in study.study.get_trials()][1:] == [TrialState.PRUNED, TrialState.COMPLETE]
    assert study.study.get_trials()[1] == old
    assert again.ask().number == 2


def test_of_a_trial_that_completed_twice_the_longer_one_counts(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for values in ([0.1, 0.7], [0.2, 0.3]):
        study.finish(reported(study, *values), Outcome.COMPLETED, "full length")
    study.finish(reported(study, 0.9), Outcome.STOPPED, "x")
    study.promote(study.records[0])
    assert [t.number for t in completed(study)] == [0, 1]
    study.report(study.records[0], 0.8, LENGTHS, seconds=3.0)
    study.finish(study.records[0], Outcome.COMPLETED, "full length")
    assert [len(t.intermediate_values) for t in completed(study)] == [3, 2]


# --- killed between the entries of one write


def test_a_report_cut_off_before_its_value_has_not_been_made(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    first, second = reported(study, 0.1, 0.2), reported(study, 0.3)
    study.report(first, 0.4, LENGTHS, seconds=9.0)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join(lines[:-1]))
    again = make_study(tmp_path)
    assert [r.values for r in again.records] == [[0.1, 0.2], [0.3]]
    assert again.records[0].steps == LENGTHS.end_step(2)
    # That its third report had begun tells that the second is long decided.
    assert (again.records[0].sequence, again.records[1].sequence, again.last_sequence) == (
        0,
        second.sequence,
        3,
    )


def test_an_end_cut_off_before_the_state_has_not_come(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    record = reported(study, 0.1)
    study.finish(record, Outcome.STOPPED, "when the search ended", stopped_by_budget=True)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join(lines[:-1]))
    again = make_study(tmp_path)
    (record,) = again.records
    assert (record.outcome, record.reason, record.stopped_by_budget, record.sequence) == (None, "", False, 1)
    again.finish(record, Outcome.STOPPED, "stopped at virtual epoch 1")
    (last,) = make_study(tmp_path).records
    assert (last.outcome, last.stopped_by_budget) == (Outcome.STOPPED, False)


# --- killed processes


def test_half_a_line_at_the_end_is_dropped_and_the_rest_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_of(**CONFIG)
    before = Simulation(tmp_path, config).run(max_reports=6)
    whole = (tmp_path / JOURNAL).read_bytes()
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":7,"worker_id":"x","trial_id":0,"st')
    study = open_study(tmp_path, config)
    assert outcomes(study.records) == outcomes(before.records)
    assert (tmp_path / JOURNAL).read_bytes() == whole
    assert "half a line of 45 bytes" in caplog.text
    study.ask()
    assert len(open_study(tmp_path, config).records) == len(before.records) + 1


def test_a_journal_of_nothing_but_half_a_line_is_a_new_study(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b'{"op_code":0,')
    assert make_study(tmp_path).records == []


def test_damage_in_the_middle_of_a_journal_is_named(tmp_path: Path) -> None:
    Simulation(tmp_path, config_of(**CONFIG)).run(max_reports=3)
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([*lines[:4], b"\0\0\0\n", *lines[5:]]))
    with pytest.raises(SearchError, match=r"study\.journal is damaged"):
        open_study(tmp_path, config_of(**CONFIG))
    with pytest.raises(SearchError, match=r"study\.journal is damaged.*tune-search verify"):
        read_records(tmp_path / JOURNAL)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [line for line in lines if b'"space/0"' not in line],
        lambda lines: [*lines, b'{"op_code":99,"worker_id":"x"}\n'],
        lambda lines: [*lines[:-1], b"[" * 5000 + b"]" * 5000 + b"\n", lines[-1]],
        lambda lines: [line.replace(b'"optimizer.lr"', b'"optimizer.rl"') for line in lines],
        lambda lines: [line.replace(b'"outcome":"', b'"outcome":"un') for line in lines],
        lambda lines: [line.replace(b'"kind":"', b'"kind":"un') for line in lines],
    ],
    ids=["a lost line", "an unknown entry", "deep nesting", "a parameter", "an outcome", "a failure"],
)
def test_lines_that_are_no_study_of_ours_are_named_as_damage(tmp_path: Path, damage: Any) -> None:
    study = make_study(tmp_path)
    study.add_failure(reported(study, 0.1), BURNT)
    study.finish(study.records[0], Outcome.FAILED, "fire")
    lines = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join(damage(lines)))
    for read in (lambda: make_study(tmp_path), lambda: read_records(tmp_path / JOURNAL)):
        with pytest.raises(SearchError, match=r"study\.journal is damaged"):
            read()


# --- readers


def test_reading_gives_what_the_search_holds(tmp_path: Path) -> None:
    config = config_of(**CONFIG)
    simulation = Simulation(tmp_path, config).run()
    assert outcomes(read_records(tmp_path / JOURNAL)) == outcomes(simulation.records)


def test_reading_while_a_search_writes_gives_whole_trials_only(tmp_path: Path) -> None:
    config = config_of(FLAT_SPACE, **CONFIG)
    study = open_study(tmp_path, config)
    done = threading.Event()

    def write() -> None:
        for _ in range(25):
            record = study.ask()
            study.report(record, 0.5, LENGTHS, seconds=1.0)
            study.finish(record, Outcome.STOPPED, "x")
        done.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    seen = 0
    deadline = time.monotonic() + 30
    while not done.is_set():
        records = read_records(tmp_path / JOURNAL)
        assert len(records) >= seen
        assert [record.number for record in records] == list(range(len(records)))
        assert all(len(record.resolved.params) == 3 for record in records)
        seen = len(records)
        assert time.monotonic() < deadline
    writer.join()
    assert len(read_records(tmp_path / JOURNAL)) == 25


def test_reading_cuts_nothing_off_a_line_that_is_being_written(tmp_path: Path) -> None:
    config = config_of(**CONFIG)
    Simulation(tmp_path, config).run(max_reports=4)
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":7,"worker')
    content = (tmp_path / JOURNAL).read_bytes()
    assert len(read_records(tmp_path / JOURNAL)) >= 1
    assert (tmp_path / JOURNAL).read_bytes() == content


def test_reading_where_no_search_was_is_an_error_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="there is no"):
        read_records(tmp_path / JOURNAL)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / JOURNAL).touch()
    assert read_records(tmp_path / JOURNAL) == []
