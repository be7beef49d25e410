"""Searches of Lightning's Trainer on Ray, with workers, and with mistakes that show in a search only."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import lightning_functions
import torch
from function_runs import all_reports, copied, trainer_of
from in_process import search_locally
from invariants import assert_nothing_lost, assert_same_search
from safetensors.torch import load_file

import search


def config_of(function: str, **sections: Any) -> dict[str, Any]:
    return {
        "name": "lightning",
        "task": f"lightning_functions:{function}",
        "objective": {"metric": "valid/accuracy", "mode": "max"},
        "virtual_epoch": {"steps": 7},
        "budget": {"trials": 5, "max_virtual_epochs": 4},
        "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
        "trial": {"lr": {"loguniform": [1e-3, 1e-1]}, "width": {"choice": [4, 8]}},
        **sections,
    }


def test_ray_and_this_process_train_alike_and_the_export_is_the_modules_state_dict(tmp_path: Path) -> None:
    """Trials share processes, pause and are promoted."""
    here = search_locally(config_of("train"), results=tmp_path / "here")
    there = search.search(config_of("train"), results=tmp_path / "ray")
    assert_same_search(Path(here.folder), Path(there.folder), here.best.checkpoint)
    assert_nothing_lost(Path(there.folder))
    exported = search.export(there.folder)
    assert exported.evaluated
    weights = load_file(exported.folder / "model.safetensors")
    lightning_functions.Module(width=len(weights["network.0.bias"])).load_state_dict(weights)


def test_a_missing_objective_is_told_with_the_names_that_the_module_logs(tmp_path: Path) -> None:
    config = config_of("train", objective={"metric": "val_loss", "mode": "min"}, max_failures=0)
    summary = search_locally(config, results=tmp_path)
    (cause, *_) = summary.failures.values()
    assert "reports no metric 'val_loss'; it reports loss, train_loss" in cause


def test_loaders_with_workers_continue_bit_for_bit_and_leave_no_process(tmp_path: Path) -> None:
    calm = trainer_of(lightning_functions.with_workers)
    wanted = all_reports(calm)
    calm.close()
    first = trainer_of(lightning_functions.with_workers)
    found = [first.run_virtual_epoch()]
    saved = copied(first, tmp_path)
    first.close()
    torch.manual_seed(12345)
    second = trainer_of(lightning_functions.with_workers)
    second.load(*saved)
    assert found + all_reports(second) == wanted
    second.close()
    assert multiprocessing.active_children() == []


def test_check_trains_a_few_steps() -> None:
    assert "valid/accuracy" in search.check(config_of("train")).metrics
