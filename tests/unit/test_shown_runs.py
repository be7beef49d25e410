"""`show`: a run with its trials, and one trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from in_process import search_locally
from listed_runs import asked, begun, written_keys
from run_files import best_of, flip
from simulated_search import by_number
from tiny_tasks import search_config

import search
from search.cli.main import cli
from search.errors import RefusedError, SearchError
from search.listing.show import ShownRun, ShownTrial
from search.run.outcome.summary import Summary
from search.schedulers.hyperband import Hyperband
from search.schedulers.rung_table import RungTable
from search.screen.curve import curve_lines
from search.screen.texts.show import run_text
from search.screen.texts.shown_trial import trial_text
from search.study.reading import read_records
from search.study.trial import ranked
from trainables.checkpoints import checkpoint as checkpoint_module
from trainables.process.failure import FailureKind

pytestmark = pytest.mark.usefixtures("no_fsync")


def shown_run(folder: Path) -> ShownRun:
    found = search.show(folder)
    assert isinstance(found, ShownRun)
    return found


def shown_trial(folder: Path, trial: int | str) -> ShownTrial:
    found = search.show(folder, trial)
    assert isinstance(found, ShownTrial)
    return found


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search in two stages."""
    stages = [
        {"name": "optimizer", "trial": {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}}}},
        {"name": "size", "trial": {"batch_size": {"choice": [8, 16]}}, "sampler": {"name": "grid"}},
    ]
    trial = {"model": {"hidden": 16}, "batch_size": 16}
    budget = {"trials": 3, "max_virtual_epochs": 3}
    config = search_config(trial=trial, budget=budget) | {"stages": stages}
    return Path(search_locally(config, results=tmp_path_factory.mktemp("results")).folder)


# --- a run


def test_trials_stand_in_the_order_in_which_the_search_ranks_them(finished_run: Summary) -> None:
    folder = Path(finished_run.folder)
    (stage,) = shown_run(folder).stages
    records = read_records(folder / "study.journal")
    assert [row.trial for row in stage.rows] == [record.number for record in ranked(records, "max")]
    assert stage.best is not None
    assert finished_run.best is not None
    assert (stage.best.trial, stage.best.value) == (finished_run.best.trial, finished_run.best.value)
    assert dict(stage.best.params) == finished_run.best.params


def test_those_that_run_and_those_that_failed_come_after_the_ranked_ones(tmp_path: Path) -> None:
    def fails(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        return FailureKind.DIED if number in (0, 3) else None

    config = asked(max_failures=0)
    curve = by_number([number / 100 for number in range(12)])
    begun(tmp_path / "run", config, curve=curve, faults=fails).run(max_reports=9)
    (stage,) = shown_run(tmp_path / "run").stages
    failed = [row.trial for row in stage.rows if row.state == "failed"]
    assert failed == [0, 3]
    assert [row.trial for row in stage.rows[-2:]] == failed
    assert list(stage.failures.values()) == [failed]
    assert [row.rank for row in stage.rows[:2]] == [1, 2]
    text = run_text(shown_run(tmp_path / "run"))
    assert "0, 3  failed: " in text


def test_of_several_objectives_the_front_comes_first(tmp_path: Path) -> None:
    objectives = [{"metric": "accuracy", "mode": "max"}, {"metric": "parameters", "mode": "min"}]
    sections = search_config(budget={"trials": 4, "max_virtual_epochs": 2}) | {"objectives": objectives}
    del sections["objective"]
    summary = search_locally(sections, results=tmp_path)
    shown = shown_run(Path(summary.folder))
    (stage,) = shown.stages
    front = [best.trial for best in summary.front]
    assert [row.trial for row in stage.rows[: len(front)]] == front
    assert [dict(row.objectives) for row in stage.rows[: len(front)]] == [b.objectives for b in summary.front]
    assert [row.on_front for row in stage.rows].count(True) == len(front) == shown.run.front
    assert f"export {Path(summary.folder)} --trial {front[0]}" in run_text(shown)


def test_a_run_in_stages_names_its_trials_by_stage(staged: Path) -> None:
    shown = shown_run(staged)
    assert [stage.name for stage in shown.stages] == ["1-optimizer", "2-size"]
    assert {row.trial for row in shown.stages[0].rows} == {f"1-optimizer/{n}" for n in range(3)}
    assert shown.run.as_dict()["best"]["trial"].startswith("2-size/")
    found = shown_trial(staged, "1-optimizer/2")
    assert found.folder == staged / "stages/1-optimizer/trials/0002"
    for wrong in (2, "1-optimizer/3", "optimizer/2", "2-size/x"):
        with pytest.raises(RefusedError, match=r"1-optimizer/0 to 1-optimizer/2 and 2-size/0 to 2-size/1"):
            search.show(staged, wrong)


def test_wide_tables_are_cut_with_a_word_and_long_ones_too(tmp_path: Path) -> None:
    begun(tmp_path / "run", asked(budget={"trials": 30, "max_virtual_epochs": 9})).run()
    shown = shown_run(tmp_path / "run")
    narrow = run_text(shown, width=50).splitlines()
    table = narrow[narrow.index(next(line for line in narrow if line.startswith("trial "))) :]
    assert max(map(len, table[:21])) <= 50
    assert "and 10 trials more: --all shows them" in narrow
    hidden = next(line for line in narrow if line.startswith("not shown: "))
    assert "momentum" in hidden
    assert "--json" in hidden
    whole = run_text(shown, everything=True)
    assert "not shown" not in whole
    assert "more: --all" not in whole
    assert "momentum" in whole


def test_a_damaged_run_is_shown_with_the_way_to_know_more(run: Path) -> None:
    (run / "study.journal").write_bytes(b"{}\n[]\n")
    text = run_text(shown_run(run))
    assert "damaged: study.journal" in text
    assert f"verify {run}" in text
    with pytest.raises(SearchError, match="is damaged and cannot be read"):
        search.show(run, 0)


# --- a trial


def test_a_trial_is_shown_with_its_curve_parameters_rungs_and_checkpoints(finished_run: Summary) -> None:
    folder = Path(finished_run.folder)
    record, checkpoint = best_of(folder)
    shown = shown_trial(folder, record.number)
    assert shown.row.rank == 1
    assert dict(shown.row.params) == dict(record.params)
    table = RungTable(read_records(folder / "study.journal"), shown.stage.scheduler.rungs, "max")
    assert [(rung.rung, rung.virtual_epoch) for rung in shown.rungs] == [(1, 1), (3, 3)]
    for index, rung in enumerate(shown.rungs, 1):
        assert (rung.rank, rung.of) == (table.rank(record, index) + 1, table.num_ranked(index))
        assert rung.value == max(record.values[: rung.virtual_epoch])
    assert checkpoint.name in [each.name for each in shown.checkpoints]
    assert {each.damage for each in shown.checkpoints} == {""}
    assert shown.as_dict()["values"] == record.values
    assert shown.events
    text = trial_text(shown)
    assert f"export {folder} --trial {record.number}" in text
    assert f"{checkpoint.name}" in text


def test_hyperband_ranks_a_trial_within_its_bracket_at_its_own_rungs(tmp_path: Path) -> None:
    begun(tmp_path / "run", asked(scheduler={"name": "hyperband"})).run()
    reached = set()
    for row in shown_run(tmp_path / "run").stages[0].rows:
        shown = shown_trial(tmp_path / "run", row.trial)
        scheduler, records = shown.stage.scheduler, shown.stage.records
        assert isinstance(scheduler, Hyperband)
        bracket = scheduler.bracket(row.record.number)
        rivals = [r for r in records if scheduler.bracket(r.number) == bracket]
        for rung in shown.rungs:
            assert rung.rung >= 3**bracket
            there = [max(r.values[: rung.rung]) for r in rivals if r.depth >= rung.rung]
            assert (rung.rank, rung.of) == (1 + sum(v > rung.value for v in there), len(there))
            reached.add((bracket, rung.rung))
    assert {(0, 1), (1, 3)} <= reached


def test_parameters_of_a_choice_are_shown_only_where_it_was_taken(tmp_path: Path) -> None:
    begun(tmp_path / "run").run(max_reports=12)
    kinds = set()
    for row in shown_run(tmp_path / "run").stages[0].rows:
        names = [name for name in row.params if name.startswith("optimizer.")]
        assert {name.split(".")[1] for name in names} == {row.params["optimizer"]}
        text = trial_text(shown_trial(tmp_path / "run", row.trial))
        assert ("momentum" in text) == (row.params["optimizer"] == "sgd")
        kinds.add(row.params["optimizer"])
    assert kinds == {"adamw", "sgd"}


def test_a_damaged_checkpoint_is_told_from_intact_ones(run: Path) -> None:
    record, checkpoint = best_of(run)
    flip(checkpoint / "model.safetensors")
    shown = shown_trial(run, record.number)
    damaged = [each.name for each in shown.checkpoints if each.damage]
    assert damaged == [checkpoint.name]
    assert "damaged: model.safetensors: SHA-256 is" in trial_text(shown)


def test_a_checkpoint_of_another_version_is_not_called_damaged(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "MANIFEST_VERSION", 99)
    record, _ = best_of(run)
    text = trial_text(shown_trial(run, record.number))
    assert "not verified: " in text
    assert "has version" in text
    assert "damaged" not in text


def test_a_closed_folder_is_an_error_with_a_way_out(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)  # rights do not hold for root, who may run this
    for look in (search.show, search.dashboard, search.report):
        with pytest.raises(SearchError, match=r"config.yaml: Permission denied; its owner can open"):
            look(run)


def test_failed_attempts_are_shown_with_their_cause(tmp_path: Path) -> None:
    def fails(number: int, virtual_epoch: int, attempt: int) -> FailureKind | None:
        return FailureKind.DIED if (number, virtual_epoch, attempt) == (0, 1, 0) else None

    begun(tmp_path / "run", asked(scheduler={"name": "none"}), faults=fails).run(max_reports=12)
    text = trial_text(shown_trial(tmp_path / "run", 0))
    assert "1 attempt failed:" in text
    assert "after virtual epoch 0" in text
    assert "process died" in text


def test_the_keys_of_the_json_are_those_of_the_documentation(finished_run: Summary) -> None:
    folder = finished_run.folder
    run = json.loads(CliRunner().invoke(cli, ["show", folder, "--json"]).stdout)
    trial = json.loads(CliRunner().invoke(cli, ["show", folder, "--trial", "0", "--json"]).stdout)
    assert set(run) == {"run", "stages", "race"}
    assert set(run["run"]) == written_keys("a run")
    assert set(run["stages"][0]) == written_keys("a stage")
    assert set(run["stages"][0]["trials"][0]) == written_keys("a trial in the list of a stage")
    assert set(trial) == written_keys("one trial")


# --- curves


def test_a_curve_has_its_largest_value_at_the_top_and_rungs_below() -> None:
    assert curve_lines([0.0, 1.0, 2.0, 3.0], [1, 3], width=40) == [
        " 3 │       ⡜",
        "   │      ⡜",
        "   │     ⡜",
        "   │    ⡜",
        "   │   ⡰⠁",
        "   │  ⡰⠁",
        "   │ ⡰⠁",
        " 0 │⡰⠁",
        "   └┴────┴──",
        "    1    3 4",
    ]


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [1e308, -1e308, 0.0], [0.1] * 500])
def test_any_curve_is_drawn_within_the_width(values: list[float]) -> None:
    for encoding in ("utf-8", "ascii"):
        lines = curve_lines(values, [1], width=60, encoding=encoding)
        assert max(map(len, lines)) <= 60
        assert encoding == "utf-8" or "".join(lines).isascii()
        drawn: Any = [line for line in lines[:8] if set(line) & {"*", *map(chr, range(0x2801, 0x2900))}]
        assert drawn
