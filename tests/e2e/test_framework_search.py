"""Searches of frameworks' loops: examples/, and on Ray, killed and continued."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from chaos import run_with_kills
from in_process import search_locally
from invariants import assert_nothing_lost, assert_same_search
from programs import HELPERS, PROGRAM, no_process_left, start
from ruamel.yaml import YAML

import search
from search.errors import SearchError

ROOT = Path(__file__).parents[2]
EXAMPLES = ("transformers_vit", "accelerate_digits", "ignite_digits")
FUNCTIONS = ("with_transformers", "with_accelerate", "with_ignite")


def config_of(function: str) -> dict[str, Any]:
    return {
        "name": function,
        "task": f"framework_functions:{function}",
        "objective": {"metric": f"{'eval_' * (function == 'with_transformers')}accuracy", "mode": "max"},
        "virtual_epoch": {"steps": 5},
        "budget": {"trials": 5, "max_virtual_epochs": 4},
        "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 2},
        "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
        "checkpoint": {"keep_trials": 9},
        "trial": {"lr": {"loguniform": [1e-3, 1e-1]}, "accumulate": {"choice": [1, 2]}},
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_checked_searched_exported_retrained_and_short(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)
    module = import_module(f"examples.{name}")
    assert len(inspect.getsource(module.train).splitlines()) <= 25
    file = ROOT / "examples" / f"{name}.yaml"
    smaller = ["budget.trials=4", "budget.max_virtual_epochs=3"]
    if name != "accelerate_digits":
        smaller.append("virtual_epoch.steps=10")
    checked = search.check(file, overrides=smaller)
    assert checked.task_file == module.__file__
    summary = search_locally(file, overrides=smaller, results=tmp_path)
    assert summary.status == "complete"
    assert_nothing_lost(Path(summary.folder))
    exported = search.export(summary.folder)
    assert exported.value == summary.best.value
    assert search.retrain(exported.folder, virtual_epochs=2).export is not None
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_objective_that_is_not_reported_is_named_with_those_that_are(
    function: str, tmp_path: Path
) -> None:
    config = {**config_of(function), "objective": {"metric": "accuarcy", "mode": "max"}}
    with pytest.raises(SearchError, match=r"'accuarcy'; .* reports .*accuracy"):
        search.check(config)


@pytest.mark.slow
def test_killed_on_ray_the_frameworks_end_as_undisturbed_in_this_process(
    tmp_path: Path, ray_session: None
) -> None:
    for function in FUNCTIONS:
        calm = search_locally(config_of(function), results=tmp_path / "calm")
        file = tmp_path / f"{function}.yaml"
        YAML(typ="safe").dump(config_of(function), file)
        command = [*PROGRAM, str(file), "--results", str(tmp_path / "killed")]

        def begin(command: Any = command) -> Any:
            return start(tmp_path, command, cwd=HELPERS, env={"PYTHONPATH": str(ROOT)})

        run = tmp_path / "killed" / function
        size = (Path(calm.folder) / "study.journal").stat().st_size
        for kill in run_with_kills(begin, run, size, num_kills=1, seed=1):
            assert kill.share is not None
        assert_same_search(Path(calm.folder), run, calm.best.checkpoint)
        assert_nothing_lost(run)
    no_process_left(tmp_path)
