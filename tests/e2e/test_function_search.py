"""Searches of training functions: paused, promoted, interrupted and continued; examples/."""

from __future__ import annotations

import inspect
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import own_functions
import pytest
from faulty_runs import interrupted_at
from in_process import search_locally
from invariants import assert_nothing_lost, assert_same_search
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import search
from search.config.stages import load_config
from search.errors import ConfigError, SearchError
from search.run.search import search as run_search
from search.study.reading import read_records
from search.study.trial import Outcome

ROOT = Path(__file__).parents[2]
EXAMPLES = ("virtual_epochs", "accumulation", "convergence", "mini_batches", "lightning_digits")


def config_of(function: str, **sections: Any) -> dict[str, Any]:
    return {
        "name": "own",
        "task": f"own_functions:{function}",
        "objective": {"metric": "loss", "mode": "min"},
        "virtual_epoch": {"steps": 5},
        "budget": {"trials": 6, "max_virtual_epochs": 4},
        "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
        "trial": {"lr": {"loguniform": [1e-3, 1e-1]}, "width": {"choice": [4, 8]}},
        **sections,
    }


def test_a_search_of_a_function_pauses_promotes_and_keeps_its_promises(tmp_path: Path) -> None:
    summary = search_locally(config_of("train"), results=tmp_path)
    assert summary.status == "complete"
    assert {"completed", "stopped"} == set(summary.counts)
    assert_nothing_lost(Path(summary.folder))
    assert not set(own_functions.LEFT) - {"train"}


@pytest.mark.parametrize("at", [(0, 1), (2, 1), (3, 2)])
def test_a_search_of_a_function_that_is_interrupted_ends_as_if_it_had_not_been(
    at: tuple[int, int], tmp_path: Path
) -> None:
    calm = search_locally(config_of("train"), results=tmp_path / "calm")
    first = search_locally(config_of("train"), results=tmp_path / "cut", reporter=interrupted_at(*at))
    assert first.status == "interrupted"
    second = search_locally(config_of("train"), results=tmp_path / "cut")
    assert second.status == "complete"
    assert_same_search(Path(calm.folder), Path(second.folder), calm.best.checkpoint)


def test_ray_and_this_process_train_a_function_alike(tmp_path: Path) -> None:
    here = search_locally(config_of("train"), results=tmp_path / "here")
    there = run_search(config_of("train"), results=tmp_path / "ray")
    assert_same_search(Path(here.folder), Path(there.folder), here.best.checkpoint)


def test_a_function_that_returns_early_has_ended_by_itself(tmp_path: Path) -> None:
    trial = {"tolerance": {"choice": [1.0, 0.01]}}
    config = config_of("until_it_stands_still", trial=trial, budget={"trials": 2, "max_virtual_epochs": 9})
    config |= {"scheduler": {"name": "none"}, "sampler": {"name": "grid"}, "virtual_epoch": {"steps": 1}}
    summary = search_locally(config, results=tmp_path)
    assert summary.status == "complete"
    records = read_records(Path(summary.folder) / "study.journal")
    ends = {record.params["tolerance"]: (record.outcome, record.reason) for record in records}
    assert ends == {
        1.0: (Outcome.STOPPED, "returned after virtual epoch 4"),
        0.01: (Outcome.COMPLETED, "full length"),
    }


def test_a_promoted_trial_whose_function_has_ended_trains_no_further(tmp_path: Path) -> None:
    trial = {"lr": {"loguniform": [1e-3, 1e-1]}}
    summary = search_locally(config_of("ends_by_what_it_keeps", trial=trial), results=tmp_path)
    records = read_records(Path(summary.folder) / "study.journal")
    assert {record.depth for record in records} == {1}
    assert "returned after virtual epoch 1" in {record.reason for record in records}


def test_an_error_in_a_function_is_the_cause_of_the_trial(tmp_path: Path) -> None:
    config = config_of(
        "raises", trial={"at": {"choice": [1, 2]}}, budget={"trials": 2, "max_virtual_epochs": 3}
    )
    summary = search_locally(config | {"max_failures": 0, "sampler": {"name": "grid"}}, results=tmp_path)
    assert {cause.partition(" at ")[0] for cause in summary.failures.values()} == {
        "RuntimeError: no luck in virtual epoch 1",
        "RuntimeError: no luck in virtual epoch 2",
    }


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"lrr": 0.1}, "trial.lrr: unknown key 'lrr'; did you mean 'lr'?"),
        ({"width": "wide"}, "trial.width: received 'wide'; must be a whole number"),
        ({"lr": {"choice": [0.1, "high"]}}, "trial.lr: received 'high'; must be a number"),
        ({"batch_size": 16}, "trial.batch_size: unknown key 'batch_size'"),
        ({"learning_rate": 0.1}, "unknown key 'learning_rate'; known: "),
    ],
)
def test_mistakes_in_the_values_of_a_function_are_told_before_it_is_called(trial: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(config_of("train", trial=trial))
    assert message in str(caught.value)


def test_pictures_and_texts_are_in_tensorboard_at_the_step_of_their_report(tmp_path: Path) -> None:
    config = config_of(
        "shows", trial={"lr": {"choice": [0.1]}}, budget={"trials": 1, "max_virtual_epochs": 2}
    )
    summary = search_locally(config, results=tmp_path)
    events = EventAccumulator(
        str(Path(summary.folder) / "trials" / "0000"), {"tensors": 0, "images": 0}
    ).Reload()
    (tag,) = [tag for tag in events.Tags()["tensors"] if tag.startswith("note")]
    found = [(event.step, event.tensor_proto.string_val[0].decode()) for event in events.Tensors(tag)]
    assert found == [(5, "**0** done"), (10, "**1** done")]
    assert [event.step for event in events.Images("weights")] == [5, 10]


def test_a_function_cannot_be_retrained_on_validation_data_that_only_it_knows(tmp_path: Path) -> None:
    config = config_of("train", budget={"trials": 1, "max_virtual_epochs": 1})
    exported = search.export(search_locally(config, results=tmp_path).folder)
    with pytest.raises(SearchError, match=r"--data train\+val: own_functions:train is a training function"):
        search.retrain(exported.folder, data="train+val")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short_searched_interrupted_exported_and_retrained(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)
    function = import_module(f"examples.{name}").train
    assert len(inspect.getsource(function).splitlines()) <= 25
    smaller = ["budget.trials=4", "budget.max_virtual_epochs=3"]
    searched = partial(search_locally, ROOT / "examples" / f"{name}.yaml", overrides=smaller)
    summary = searched(results=tmp_path / "calm")
    assert summary.status == "complete"
    assert summary.best is not None
    assert_nothing_lost(Path(summary.folder))
    cut = searched(results=tmp_path / "cut", reporter=interrupted_at(1, 1))
    assert cut.status == "interrupted"
    assert searched(results=tmp_path / "cut").status == "complete"
    assert_same_search(Path(summary.folder), Path(cut.folder), summary.best.checkpoint)
    exported = search.export(summary.folder)
    assert exported.value == pytest.approx(summary.best.value, rel=1e-6)
    assert search.retrain(exported.folder, virtual_epochs=1).export is not None
