"""A search that has ended and is gone on with: more or longer trials, more time, another space."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from decisions import assert_decisions
from optuna.storages.journal._storage import JournalOperation
from simulated_search import (
    FALLING,
    FLAT_SPACE,
    NONE,
    RULES,
    SPACE,
    Simulation,
    by_number,
    config_of,
    cut_journal,
    num_lines,
    open_study,
    outcomes,
)

from search.config.config import Config
from search.config.stages import load_config
from search.run.events import EventKind, Turn
from search.screen.live import share_done
from search.study.study import JOURNAL, read_records
from search.study.trial import Outcome, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import FailureKind

RANDOM = {"name": "random", "seed": 1}
LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def asking(trials: int = 9, virtual_epochs: int = 9, **sections: Any) -> Config:
    budget = {"trials": trials, "max_virtual_epochs": virtual_epochs}
    return config_of(**{"space": SPACE, "sampler": RANDOM, "budget": budget} | sections)


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def assert_told_once(folder: Path, records: Sequence[TrialRecord]) -> Counter[int]:
    """Each Optuna trial ended once, and goes on from where the one before it stood; no virtual epoch twice.

    Returns:
        How many Optuna trials there are for each of ours.
    """
    told: list[dict[int, float]] = []
    ended: list[int] = []
    newest: dict[int, int] = {}
    begun: Counter[int] = Counter()
    for entry in entries(folder):
        if entry["op_code"] == JournalOperation.CREATE_TRIAL:
            number = entry["user_attrs"]["trial"]
            carried = {int(step): value for step, value in entry["intermediate_values"].items()}
            assert carried == (told[newest[number]] if number in newest else {})
            assert entry["user_attrs"].get("continues") == newest.get(number)
            newest[number] = len(told)
            begun[number] += 1
            told.append(carried)
        elif entry["op_code"] == JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE:
            assert entry["step"] == len(told[entry["trial_id"]]) + 1
            told[entry["trial_id"]][entry["step"]] = entry["intermediate_value"]
        elif entry["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES:
            ended.append(entry["trial_id"])
    assert sorted(ended) == list(range(len(told)))
    assert [list(told[newest[r.number]].values()) for r in records] == [r.values for r in records]
    assert [newest[r.number] for r in records] == [r.trial_id for r in records]
    return begun


def results(records: Sequence[TrialRecord]) -> list[tuple[Any, ...]]:
    """As `outcomes`, without the words about an end."""
    return [(r.number, r.resolved.params, r.values, r.outcome, r.steps) for r in records]


def assert_alike_when_killed(folder: Path, before: int, config: Config, stride: int, **options: Any) -> None:
    """A search that was gone on with after so many lines comes to the same if it is killed from there on."""
    reference = outcomes(read_records(folder / JOURNAL))
    for lines in range(before, num_lines(folder), stride):
        cut = cut_journal(folder, folder.with_name(f"cut{lines}"), lines)
        records = Simulation(cut, config, **options).run().records
        assert outcomes(records) == reference, f"killed after write {lines}"
        assert_told_once(cut, records)


# --- nothing to do


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limits", [{}, {"seconds": 12.0}, {"steps": 70}], ids=str)
def test_an_ended_search_started_again_with_the_same_limits_writes_nothing_but_its_time(
    tmp_path: Path, rule: str, limits: dict[str, Any]
) -> None:
    config = asking(**RULES[rule])
    first = Simulation(tmp_path, config, workers=2, limits=limits).run()
    before = entries(tmp_path)
    again = Simulation(tmp_path, config, workers=2, limits=limits)
    assert again.coordinator.next_job() is Turn.DONE
    again.run()
    assert outcomes(again.records) == outcomes(first.records)
    new = entries(tmp_path)[len(before) :]
    assert {key for entry in new for key in entry["user_attr"]} <= {"elapsed_seconds"}


# --- more trials


def test_trials_that_were_paused_to_the_end_are_promoted_among_more_trials(tmp_path: Path) -> None:
    curve = by_number(FALLING, gain=0.001)
    first = Simulation(tmp_path, asking(9), curve).run()
    assert [r.depth for r in first.records] == [9, 3, 3, 1, 1, 1, 1, 1, 1]
    more = Simulation(tmp_path, asking(18), curve).run()
    whole = Simulation(tmp_path / "whole", asking(18), curve).run()
    assert results(more.records) == results(whole.records)
    begun = assert_told_once(tmp_path, more.records)
    promoted = {number for kind, number, _ in more.events if kind is EventKind.PROMOTED}
    assert {1, 3, 4, 5} <= promoted
    assert {number for number, count in begun.items() if count > 1} == {1, 3, 4, 5}
    assert_decisions(tmp_path, asking(18))
    held = {"virtual_epochs", "spent", "space", "trial", "promoted", "continues"}
    reopened = [e["user_attrs"] for e in entries(tmp_path) if "continues" in e.get("user_attrs", {})]
    assert all(set(attrs) == held for attrs in reopened)


@pytest.mark.parametrize("rule", ["asha_stop", "hyperband", "plateau", "none"])
def test_more_trials_leave_those_that_have_ended_as_they_are(tmp_path: Path, rule: str) -> None:
    before = outcomes(Simulation(tmp_path, asking(9, **RULES[rule])).run().records)
    more = Simulation(tmp_path, asking(14, **RULES[rule])).run()
    assert outcomes(more.records)[:9] == before
    whole = Simulation(tmp_path / "whole", asking(14, **RULES[rule])).run()
    assert outcomes(more.records) == outcomes(whole.records)
    assert set(assert_told_once(tmp_path, more.records).values()) == {1}


def test_a_search_can_grow_again_and_again(tmp_path: Path) -> None:
    for trials, virtual_epochs in [(3, 3), (9, 3), (9, 9), (12, 27), (20, 27)]:
        config = asking(trials, virtual_epochs)
        simulation = Simulation(tmp_path, config, workers=3).run()
        assert len(simulation.records) == trials
        assert max(r.depth for r in simulation.records) == virtual_epochs
        assert_told_once(tmp_path, simulation.records)
    assert_decisions(tmp_path, config)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("rule", ["asha", "asha_stop", "median", "none"])
def test_a_search_that_has_grown_is_killed_anywhere(tmp_path: Path, rule: str, workers: int) -> None:
    folder = tmp_path / "grown"
    Simulation(folder, asking(9, 3, **RULES[rule]), workers=workers).run()
    before = num_lines(folder)
    config = asking(12, 9, **RULES[rule])
    Simulation(folder, config, workers=workers).run()
    assert_decisions(folder, config)
    if workers == 1:
        assert_alike_when_killed(folder, before, config, stride=9)
        return
    for lines in range(before, num_lines(folder), 9):
        cut = cut_journal(folder, tmp_path / f"cut{lines}", lines)
        assert_told_once(cut, Simulation(cut, config, workers=workers).run().records)
        assert_decisions(cut, config)


# --- longer trials


def test_longer_trials_are_those_of_a_search_that_was_longer_from_the_start(tmp_path: Path) -> None:
    """By promotion: all that had come to the former full length are paused there, as it was a rung."""
    curve = by_number([1 - n / 100 for n in range(27)])
    first = Simulation(tmp_path / "grown", asking(27, 9), curve).run()
    assert [r.outcome for r in first.records].count(Outcome.COMPLETED) == 3
    grown = Simulation(tmp_path / "grown", asking(27, 27), curve).run()
    whole = Simulation(tmp_path / "whole", asking(27, 27), curve).run()
    assert [r[:3] for r in results(grown.records)] == [r[:3] for r in results(whole.records)]
    # The two that did not go on have had their end.
    assert [r.outcome for r in grown.records[:4]] == [Outcome.COMPLETED] * 3 + [Outcome.STOPPED]
    begun = assert_told_once(tmp_path / "grown", grown.records)
    assert [number for number, count in begun.items() if count > 1] == [0]


@pytest.mark.parametrize("rule", ["none", "plateau"])
def test_without_rungs_all_completed_trials_go_on_that_the_rule_lets(tmp_path: Path, rule: str) -> None:
    rules = RULES[rule]
    curve = by_number(FALLING, gain=0.1) if rule == "none" else None
    options = {} if curve is None else {"curve": curve}
    Simulation(tmp_path / "grown", asking(5, 4, **rules), **options).run()
    grown = Simulation(tmp_path / "grown", asking(5, 9, **rules), **options).run()
    whole = Simulation(tmp_path / "whole", asking(5, 9, **rules), **options).run()
    assert [r[:3] for r in results(grown.records)] == [r[:3] for r in results(whole.records)]
    assert max(assert_told_once(tmp_path / "grown", grown.records).values()) == 2
    assert_decisions(tmp_path / "grown", asking(5, 9, **rules))


def test_by_stopping_completed_trials_go_on_that_are_among_the_best_of_their_former_end(
    tmp_path: Path,
) -> None:
    # Each one is better than those before, so none is stopped, and all nine come to virtual epoch 3.
    curve = by_number(FALLING[:9][::-1])
    config = asking(9, 3, **RULES["asha_stop"])
    assert {r.depth for r in Simulation(tmp_path, config, curve).run().records} == {3}
    longer = asking(9, 9, **RULES["asha_stop"])
    grown = Simulation(tmp_path, longer, curve).run()
    assert [r.depth for r in grown.records] == [3] * 6 + [9] * 3
    assert [r.outcome for r in grown.records] == [Outcome.COMPLETED] * 9
    assert_told_once(tmp_path, grown.records)
    assert_decisions(tmp_path, longer)


def test_a_trial_without_a_checkpoint_stays_ended_and_keeps_its_place(tmp_path: Path) -> None:
    curve = by_number(FALLING)
    before = outcomes(Simulation(tmp_path, asking(9), curve).run().records)
    more = Simulation(tmp_path, asking(12, 27), curve, can_go_on=lambda record: False)
    assert more.coordinator.going_on() == set()
    more.run()
    assert outcomes(more.records)[:9] == before
    assert set(assert_told_once(tmp_path, more.records).values()) == {1}
    # Of twelve at the first rung four go on; the three best are ended, and trial 3 is too.
    assert [r.depth for r in more.records[9:]] == [27, 1, 1]


def test_the_progress_of_a_longer_search_begins_where_the_shorter_one_ended(tmp_path: Path) -> None:
    Simulation(tmp_path, asking(4, 3, scheduler=NONE)).run()
    longer = Simulation(tmp_path, asking(4, 6, scheduler=NONE))
    assert share_done(longer.coordinator) == 0.5
    assert share_done(longer.run().coordinator) == 1.0


# --- more time or steps


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limits", [{"seconds": 13.5}, {"steps": 64}], ids=str)
def test_with_a_later_limit_a_search_comes_to_what_it_would_have_come_to_without(
    tmp_path: Path, rule: str, limits: dict[str, Any]
) -> None:
    config = asking(**RULES[rule], sampler={"name": "tpe", "startup_trials": 3})
    whole = Simulation(tmp_path / "whole", config).run()
    cut = Simulation(tmp_path / "cut", config, limits=limits).run()
    assert cut.coordinator.ending in ("time limit", "step limit")
    assert any(r.stopped_by_budget for r in cut.records)
    before = num_lines(tmp_path / "cut")
    later = Simulation(tmp_path / "cut", config).run()
    assert results(later.records) == results(whole.records)
    assert_told_once(tmp_path / "cut", later.records)
    assert_decisions(tmp_path / "cut", config)
    assert_alike_when_killed(tmp_path / "cut", before, config, stride=23)


def test_a_trial_that_was_lost_before_its_first_report_when_time_was_up_begins_with_more_time(
    tmp_path: Path,
) -> None:
    config = asking(3, 2, scheduler=NONE)
    faults = lambda number, v, attempt: FailureKind.DIED if (number, attempt) == (1, 0) else None  # noqa: E731
    first = Simulation(tmp_path, config, limits={"seconds": 3.0}, faults=faults).run()
    assert [(r.depth, r.stopped_by_budget) for r in first.records] == [(2, False), (0, True)]
    again = Simulation(tmp_path, config, can_go_on=lambda record: record.depth > 0).run()
    assert [(r.depth, r.outcome) for r in again.records] == [(2, Outcome.COMPLETED)] * 3
    assert len(again.records[1].failures) == 1
    assert_told_once(tmp_path, again.records)


# --- another space for new trials

WIDER = {
    "model": {"hidden": {"choice": [4, 16, 32]}},
    "optimizer": {
        "choice": [
            {"name": "sgd", "lr": {"loguniform": [1e-2, 10.0]}, "momentum": 0.9},
            {"name": "rmsprop", "lr": {"loguniform": [1e-5, 1e-1]}},
        ]
    },
    "batch_size": {"choice": [8, 16]},
}
"""SPACE with a category less and one more, an option renamed, a range moved, fixed and searched exchanged."""


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_after_a_change_of_the_space_old_trials_stay_and_new_ones_come_from_it(
    tmp_path: Path, sampler: str
) -> None:
    folder = tmp_path / "grown"
    options = {"name": sampler, "startup_trials": 3}
    Simulation(folder, asking(6, sampler=options)).run()
    before = {r.number: r.resolved for r in read_records(folder / JOURNAL)}
    lines = num_lines(folder)
    changed = asking(12, space=WIDER, sampler=options)
    grown = Simulation(folder, changed).run()
    assert {r.number: r.resolved for r in grown.records[:6]} == before
    assert {r.space_number for r in grown.records[:6]} == {0}
    assert {r.space_number for r in grown.records[6:]} == {1}
    new = [r.resolved.options for r in grown.records[6:]]
    assert all(set(tree) == {"model", "optimizer", "batch_size"} for tree in new)
    assert {tree["model"]["hidden"] for tree in new} <= {4, 16, 32}
    assert {tree["optimizer"]["name"] for tree in new} <= {"sgd", "rmsprop"}
    assert {tree["batch_size"] for tree in new} == {8, 16}
    assert_told_once(folder, grown.records)
    assert_decisions(folder, changed)
    assert_alike_when_killed(folder, lines, changed, stride=7)


def test_a_space_that_comes_back_is_not_taken_for_another_one(tmp_path: Path) -> None:
    for number, space in enumerate([FLAT_SPACE, WIDER, FLAT_SPACE, WIDER]):
        study = open_study(tmp_path, config_of(space, sampler=RANDOM))
        assert study.space_number == number % 2
        study.ask()
    assert [r.space_number for r in read_records(tmp_path / JOURNAL)] == [0, 1, 0, 1]
    assert len(study.study.user_attrs) == 2


def test_numbers_and_truth_values_are_not_taken_for_each_other(tmp_path: Path) -> None:
    spaces = [FLAT_SPACE | {"data": {"shuffle": value}} for value in (1, True, 1.0)]
    for space in spaces:
        open_study(tmp_path, config_of(space, sampler=RANDOM)).ask()
    assert [r.space_number for r in read_records(tmp_path / JOURNAL)] == [0, 1, 2]
    found = [r.resolved.options["data"]["shuffle"] for r in read_records(tmp_path / JOURNAL)]
    assert [type(value) for value in found] == [int, bool, float]


_WRITTEN = """
name: digits
task: tiny_tasks:DigitsTask
objective: {metric: accuracy, mode: max}
trial:
  data:
    names: {"0": zero, "1": [1e-4, yes, "1e-4", null, ~, 010, 2026-01-01], "true": no, "1e-4": .5}
    text: "a: b # c\\n  d é 字"
    where: ${env:HOME}/data
  model: {hidden: {choice: [8, null, "8 ", true, 0.5]}}
  optimizer: {name: adamw, lr: {quniform: [0.1, 0.9, 0.1]}}
  batch_size: 16
virtual_epoch: {steps: 5}
budget: {trials: 9, max_virtual_epochs: 1}
"""


def test_options_written_with_all_that_yaml_has_are_the_same_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(_WRITTEN)
    config = load_config(tmp_path / "run.yaml").first
    study = open_study(tmp_path, config)
    for _ in range(9):
        study.ask()
    written = (tmp_path / JOURNAL).read_bytes()
    again = open_study(tmp_path, load_config(tmp_path / "run.yaml").first)
    assert (tmp_path / JOURNAL).read_bytes() == written
    for record, old in zip(again.records, study.records, strict=True):
        assert record.resolved == old.resolved
        assert repr(record.resolved.options) == repr(old.resolved.options)
    assert study.records[0].resolved.options["data"]["where"] == "${env:HOME}/data"


# --- large studies


def test_a_study_of_1000_trials_is_gone_on_with_in_seconds(tmp_path: Path) -> None:
    config = config_of(FLAT_SPACE, sampler={"name": "tpe"}, budget={"trials": 1001, "max_virtual_epochs": 9})
    Simulation(tmp_path, config, by_number([0.5])).run(max_reports=1)
    study = open_study(tmp_path, config)
    for value in (0.6, 0.7):
        study.report(study.records[0], value, LENGTHS, seconds=1.0)
    study.finish(
        study.records[0], Outcome.STOPPED, "paused at virtual epoch 3, not promoted", stopped_by_budget=True
    )
    _multiply_trial(tmp_path, 1000)
    began = time.monotonic()
    simulation = Simulation(tmp_path, config)
    # First one is promoted that was paused to the end; then tpe draws, from 1000 trials.
    promoted = simulation.coordinator.next_job()
    assert isinstance(promoted, TrialRecord)
    assert promoted.number < 1000
    assert simulation.study.ask().number == 1000
    # It takes 1 s on two slow cores; what grows with the square of the trials would take minutes.
    assert time.monotonic() - began < 10


def _multiply_trial(folder: Path, count: int) -> None:
    """Make a journal of one trial one of so many, each with parameters and values of its own."""
    head, one = [], []
    for entry in entries(folder):
        of_study = entry["op_code"] <= JournalOperation.SET_STUDY_USER_ATTR
        (head if of_study else one).append(entry)
    with (folder / JOURNAL).open("w") as file:
        for entry in head:
            file.write(json.dumps(entry) + "\n")
        for number in range(count):
            for entry in one:
                entry["trial_id"] = number
                if "params" in entry:
                    entry["user_attrs"]["trial"] = number
                    entry["params"]["optimizer.lr"] = 1e-4 * 1.006**number
                if "intermediate_value" in entry:
                    entry["intermediate_value"] = number % 7 / 7
                file.write(json.dumps(entry) + "\n")
