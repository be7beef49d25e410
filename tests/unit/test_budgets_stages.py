"""Searches in stages whose budgets are compute: what each may take, also when the run is read again."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally

from search.commands.confirm import race
from search.config.document import write_yaml
from search.config.schema import Budget
from search.config.stages import load_config, open_run
from search.errors import ConfigError
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import StageOutcome
from search.run.outcome.summary_file import read_summary
from search.screen.live import PlainView
from search.screen.texts.summary import summary_text

pytestmark = pytest.mark.usefixtures("no_fsync")

LR, SPREAD = {"lr": {"uniform": [0.1, 0.5]}}, {"spread": {"uniform": [0.01, 0.5]}}
CONFIG: dict[str, Any] = {
    "name": "staged",
    "task": "race_functions:noisy",
    "objective": {"metric": "loss", "mode": "min"},
    "virtual_epoch": {"steps": 2},
    "budget": {"max_virtual_epochs": 3},
    "sampler": {"name": "random"},
    "trial": {"lr": 0.3, "seed": 1},
    "stages": [
        {"name": "first", "trial": LR, "budget": {"full_trainings": 12}},
        {"name": "second", "trial": SPREAD, "budget": {"steps": 40}},
    ],
}
"""With 36 virtual epochs the first stage has 18 trials; 24 would be an end before those of `long`."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("shared", "own"),
    [
        ({}, {"budget": {"full_trainings": 12}}),
        ({"budget": {"max_virtual_epochs": 9, "time": "1h"}}, {"budget": {"steps": 40}}),
        ({"budget": {"trials": 9}}, {"budget": {"steps": 40}}),
        ({}, {"sampler": {"name": "optuna.samplers:TPESampler", "n_startup_trials": 3}}),
        ({"scheduler": {"grace_period": 2}}, {"scheduler": {"reduction_factor": 2}}),
        ({"scheduler": {"grace_period": 2}}, {"scheduler": {"name": "asha", "reduction_factor": 2}}),
        ({"scheduler": {"reduction_factor": 4}}, {"scheduler": {"name": "none"}}),
    ],
    ids=str,
)
def test_stages_that_are_read_from_the_runs_folder_are_those_that_began(
    shared: dict[str, Any], own: dict[str, Any], tmp_path: Path
) -> None:
    stages = [{"name": "first", "trial": LR}, {"name": "second", "trial": SPREAD, **own}]
    began = load_config({**CONFIG, "sampler": {"seed": 3}, **shared, "stages": stages})
    write_yaml(tmp_path / "config.yaml", began.raw)
    for again in (load_config(tmp_path / "config.yaml"), open_run(tmp_path / "config.yaml")):
        for stage, before in zip(again.stages, began.stages, strict=True):
            assert stage.configs[0].raw == before.configs[0].raw
            assert stage.configs[0].budget == before.configs[0].budget


def test_naming_the_default_scheduler_keeps_what_the_whole_says_of_it() -> None:
    own = {"name": "asha", "reduction_factor": 2}
    stages = [{"name": "only", "trial": LR, "scheduler": own}]
    found = load_config({**CONFIG, "scheduler": {"grace_period": 3}, "stages": stages}).first.scheduler
    assert found.model_dump(include={"name", "grace_period", "reduction_factor"}) == {
        "name": "asha",
        "grace_period": 3,
        "reduction_factor": 2,
    }


def test_a_stage_with_a_limit_of_compute_has_no_limit_of_trials_unless_the_whole_gives_one() -> None:
    first, second = (stage.configs[0].budget for stage in load_config(CONFIG).stages)
    assert first == Budget(full_trainings=12, max_virtual_epochs=3)
    assert (second.trials, second.full_trainings, second.steps) == (None, None, 40)
    given = load_config({**CONFIG, "budget": {"max_virtual_epochs": 3, "trials": 5}})
    assert [stage.configs[0].budget.trials for stage in given.stages] == [5, 5]
    alone = {**CONFIG, "stages": [{"name": "only", "trial": LR}]}
    assert load_config(alone).first.budget.trials == 24


def test_each_stage_spends_its_own_limit_and_a_resumed_run_spends_no_other(tmp_path: Path) -> None:
    long = {
        **CONFIG,
        "stages": [{**CONFIG["stages"][0], "budget": {"full_trainings": 20}}, CONFIG["stages"][1]],
    }
    done = search_locally(long, results=tmp_path)
    stages = [read_summary(folder) for folder in RunFolder(Path(done.folder)).stages()]
    assert [stage.reason for stage in stages] == [
        "compute limit; the best trial is fully trained",
        "step limit; the best trial is fully trained",
    ]
    assert stages[0].trials > 24
    assert stages[0].virtual_epochs in range(58, 61)
    assert (stages[1].steps, stages[1].budget_spent) == (40, {"steps": 1.0})
    assert done.best_fully_trained is True
    again = resume_locally(done.folder)
    assert again == done
    more = resume_locally(done.folder, overrides=["stages.1.budget.steps=60"])
    assert [stage.steps for stage in more.stages] == [stages[0].steps, 60]
    with pytest.raises(ConfigError, match=r"budget\.steps: received 50; must be above 60"):
        resume_locally(done.folder, overrides=["stages.1.budget.steps=50"])


def test_the_screen_names_the_run_and_not_its_configuration(tmp_path: Path) -> None:
    out = io.StringIO()
    view = PlainView(out, tmp_path / "search.log")
    short = ["stages.0.budget={trials: 1}", "stages.1.budget={trials: 1}", "budget.max_virtual_epochs=1"]
    search_locally(CONFIG, overrides=short, results=tmp_path, name="mine", reporter=view)
    whole = {**CONFIG, "stages": [], "trial": LR, "budget": {"trials": 1, "max_virtual_epochs": 1}}
    search_locally(whole, results=tmp_path, name="other", reporter=view)
    begun = [line[9:].partition(":")[0] for line in out.getvalue().splitlines() if " at a time, in " in line]
    assert begun == [
        "search mine, stage 1 of 2 (first)",
        "search mine, stage 2 of 2 (second)",
        "search other",
    ]


def test_a_summary_of_stages_is_read_as_it_was_written_also_for_a_race(tmp_path: Path) -> None:
    done = search_locally(CONFIG, results=tmp_path)
    read = read_summary(RunFolder(Path(done.folder)))
    assert read == done
    assert all(isinstance(stage, StageOutcome) for stage in read.stages)
    raced = race(done.folder, top=2, seeds=2, local=True)
    assert raced.stages == done.stages
    text = summary_text(raced)
    assert "winner of the race, trial " in text
    assert "; complete: compute limit; the best trial is fully trained" in text
