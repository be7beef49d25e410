"""A real optuna-dashboard on the copy that `tune-search dashboard` writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from listed_runs import asked, begun
from optuna_dashboard_server import optuna_dashboard
from programs import run
from tensorboard_server import ask

pytestmark = pytest.mark.usefixtures("no_fsync")


def details(server: str) -> dict[str, Any]:
    """What its API says of each study, by name."""
    studies = ask(f"{server}/api/studies")["study_summaries"]
    return {each["study_name"]: ask(f"{server}/api/studies/{each['study_id']}?after=0") for each in studies}


def importances(server: str, number: int) -> dict[str, float]:
    (found,) = ask(f"{server}/api/studies/{number}/param_importances")["param_importances"]
    return {each["name"]: each["importance"] for each in found}


def states(study: Any) -> Counter[str]:
    return Counter(trial["state"] for trial in study["trials"])


def test_the_dashboard_compares_the_trials_of_each_rung_and_knows_who_is_paused(tmp_path: Path) -> None:
    config = asked(budget={"trials": 20, "max_virtual_epochs": 9})
    simulation = begun(tmp_path / "a run", config, workers=2).run(max_reports=45)
    done = run("dashboard", str(tmp_path / "a run"))
    assert done.returncode == 0, done.stderr
    assert f"optuna-dashboard '{tmp_path}/a run/optuna.journal'" in done.stdout
    records = simulation.records
    with optuna_dashboard(tmp_path / "a run/optuna.journal") as server:
        found = details(server)
        assert list(found) == ["a run", *(f"a run at virtual epoch {rung}" for rung in (1, 3, 9))]
        whole = found["a run"]
        assert whole["objective_names"] == ["accuracy"]
        assert "Values of this study are of different depths" in whole["note"]["body"]
        full = [record for record in records if record.depth == 9]
        assert states(whole)["Complete"] == len(full)
        assert states(whole)["Running"] == 0
        assert len(whole["trials"]) == len(records)
        for rung in (1, 3):
            study = found[f"a run at virtual epoch {rung}"]
            there = [record for record in records if record.depth >= rung]
            assert states(study) == {"Complete": len(there)}
            best = max(there, key=lambda record: max(record.values[:rung]))
            assert study["best_trials"][0]["values"] == [max(best.values[:rung])]
        at_first = importances(server, 1)
        assert set(at_first) == {name for record in records for name in record.params}
        assert sum(at_first.values()) == pytest.approx(1.0)
        assert max(at_first.values()) > 1.2 / len(at_first)  # not all alike, as where nothing is known


def test_the_studys_own_journal_shows_paused_trials_as_running(tmp_path: Path) -> None:
    """Why there is a copy; if this fails, docs/optuna_dashboard.md says something that is no longer so."""
    begun(tmp_path / "run", workers=2).run(max_reports=16)
    with optuna_dashboard(tmp_path / "run/study.journal") as server:
        (study,) = details(server).values()
        assert set(states(study)) == {"Running"}
        assert importances(server, 0) == {}
