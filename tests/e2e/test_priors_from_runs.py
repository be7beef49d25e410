"""A search that takes its priors from a former run, and goes on with them when that is gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from in_process import resume_locally, search_locally
from recorder import Recorder
from tiny_tasks import search_config

from search.errors import ConfigError
from search.study.reading import read_records

ALONE = {"cpus_per_trial": 1, "concurrent_trials": 1}
OLDER = search_config(
    budget={"trials": 4, "max_virtual_epochs": 2}, scheduler={"name": "none"}, resources=ALONE
)
WIDER = search_config(
    trial={
        "model": {"hidden": {"choice": [8, 16, 32, 64]}},
        "optimizer": {
            "name": "adamw",
            "lr": {"loguniform": [1e-5, 1.0]},
            "weight_decay": {"loguniform": [1e-4, 0.1]},
        },
        "batch_size": {"choice": [16, 32]},
    },
    virtual_epoch={"steps": 7},
    budget={"trials": 3, "max_virtual_epochs": 1},
    resources=ALONE,
)


def test_the_best_trial_of_a_former_run_is_tried_first_and_the_run_is_then_not_needed(tmp_path: Path) -> None:
    older = search_locally(OLDER, results=tmp_path, name="older")
    best = older.best
    assert best is not None
    told = Recorder()
    new = search_locally(WIDER, results=tmp_path, name="new", priors_from=tmp_path / "older", reporter=told)
    first = read_records(Path(new.folder) / "study.journal")[0]
    taken = {name: first.params[name] for name in ("model.hidden", "optimizer.lr", "batch_size")}
    assert taken == {**best.params, "batch_size": 16}
    written = yaml.safe_load((Path(new.folder) / "config.yaml").read_text(encoding="utf-8"))
    assert written["trial"]["batch_size"] == {"choice": [16, 32], "prior": 16, "confidence": "medium"}
    assert "priors" not in written
    lines = [line for line in told.notes if "prior" in line]
    assert f"trial {best.trial} (accuracy {best.value:.4g}, the best of full length)" in lines[0]
    assert lines[1].endswith("optimizer.weight_decay (it has no such value)")

    shutil.rmtree(tmp_path / "older")
    told = Recorder()
    more = {**WIDER, "budget": {"trials": 4, "max_virtual_epochs": 1}}
    again = search_locally(more, results=tmp_path, name="new", priors_from=tmp_path / "older", reporter=told)
    assert again.trials == 4
    assert "priors are those with which this search began" in told.notes
    assert resume_locally(new.folder, overrides=["budget.trials=5"]).trials == 5
    with pytest.raises(ConfigError, match="was 16 when this search began and is null now") as refused:
        search_locally(more, results=tmp_path, name="new")
    assert f"give --priors-from {tmp_path / 'older'} (in Python priors_from=) again" in str(refused.value)
    with pytest.raises(ConfigError, match=r"--priors-from: priors.from_run: received .*older"):
        search_locally(more, results=tmp_path, name="newer", priors_from=tmp_path / "older")
