"""What a search by population based training tells: who goes on, of its audit, of what comes next."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from in_process import search_locally
from populations import of_a_population
from simulated_search import FLAT_SPACE, Simulation, config_of

import search
from search.cli.main import cli
from search.commands.audit import why_nothing
from search.errors import SearchError
from search.run.disk.folder import RunFolder
from search.run.outcome.opened import Run
from search.run.outcome.summary import Summary
from search.screen.live import PlainView
from search.screen.texts.export import export_text
from search.screen.texts.summary import summary_text
from search.study.lineage import measured_at, schedule_of
from search.study.reading import read_records
from search.study.trial import TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A population of models of several sizes, measured, and scored so that the last values are the best."""
    wide = {"parameters": "1G"}
    return search_locally(of_a_population(limits=wide), results=tmp_path_factory.mktemp("told"))


def records_of(summary: Summary) -> list[TrialRecord]:
    return read_records(Path(summary.folder) / "study.journal")


def of_another(summary: Summary) -> TrialRecord:
    """A trial whose best value is of weights that another one began, of another model."""
    return next(
        record
        for record in records_of(summary)
        if len(schedule_of(records_of(summary), record, record.best_virtual_epoch("max"))) > 1
    )


def test_a_member_that_goes_on_is_not_told_as_promoted(tmp_path: Path) -> None:
    out = io.StringIO()
    config: Any = config_of(
        FLAT_SPACE,
        scheduler={"name": "pbt", "interval": 2, "quantile": 0.3},
        sampler={"name": "random"},
        budget={"trials": 4, "max_virtual_epochs": 4},
    )
    simulation, view = Simulation(tmp_path, config), PlainView(out, tmp_path / "search.log")
    simulation.coordinator.watch = view.event
    view.begin(simulation.coordinator, config, RunFolder(tmp_path))
    simulation.run()
    told = out.getvalue()
    assert "promoted" not in told
    assert sum(len(record.taken_over) for record in simulation.records) == 2
    assert told.count(" goes on from trial ") == 2
    assert told.count(" continues at virtual epoch 2\n") == 2


def test_the_audit_says_that_a_population_has_no_rungs(done: Summary) -> None:
    shown = CliRunner().invoke(cli, ["audit", done.folder])
    assert shown.exit_code == 0
    assert shown.output.startswith("a population (pbt) has no rungs: all its trials are trained to full")
    assert why_nothing(done.folder) == shown.output.strip()


def test_the_last_screens_name_the_command_that_repeats_the_values(done: Summary, tmp_path: Path) -> None:
    number = of_another(done).number
    exported = search.export(done.folder, trial=number, out=tmp_path / "export")
    lines = export_text(exported).splitlines()
    plain = next(line for line in lines if line.startswith("  tune-search retrain "))
    assert lines[-1] == f"{plain} --from-scratch  # repeats the schedule of values"
    assert done.best is not None
    assert done.best.schedule
    last = summary_text(done).splitlines()[-1]
    assert last.startswith("  tune-search retrain ")
    assert last.endswith("/export --from-scratch  # repeats the schedule of values")
    unchanged = replace(done, best=replace(done.best, schedule=[]))
    assert "--from-scratch" not in summary_text(unchanged)


def test_what_is_told_of_a_member_is_of_the_model_that_it_has(done: Summary) -> None:
    """A trial that went on from one with another width has that one's width, parameters and values."""
    records, table = records_of(done), Run(done.folder).trials
    differing = 0
    for record in records:
        at = record.best_virtual_epoch("max")
        builder = records[schedule_of(records, record, at)[0].trial]
        row = table.loc[record.number]
        hidden = record.params_at(at)["model.hidden"]
        assert measured_at(records, record, at) == builder.measured == {"parameters": 77.0 * hidden + 10}
        assert row["measured_parameters"] == 77.0 * hidden + 10
        assert {name: row[f"params_{name}"] for name in record.params} == record.params_at(at)
        differing += record.measured != builder.measured
    assert differing
    assert done.best is not None
    best = records[done.best.trial]
    assert done.best.params == best.params_at(done.best.virtual_epoch)
    assert done.best.measured == {"parameters": 77.0 * done.best.params["model.hidden"] + 10}


def test_a_schedule_is_not_repeated_into_the_folder_of_another_one(done: Summary, tmp_path: Path) -> None:
    """Of two trials with the same last values only the schedule may differ: it is compared by itself."""
    exported = search.export(done.folder, trial=of_another(done).number, out=tmp_path / "export").folder
    out = tmp_path / "again"
    search.retrain(exported, from_scratch=True, out=out)
    edited = json.loads((exported / "metrics.json").read_text(encoding="utf-8"))
    edited["schedule"][0]["options"]["optimizer"]["lr"] *= 2
    (exported / "metrics.json").write_text(json.dumps(edited), encoding="utf-8")
    with pytest.raises(SearchError, match="holds a retraining with other schedule; give another --out"):
        search.retrain(exported, from_scratch=True, out=out)
    assert search.retrain(exported, from_scratch=True, out=tmp_path / "other").export is not None
