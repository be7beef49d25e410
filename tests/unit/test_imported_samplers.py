"""Samplers by their path: drawn from over the same view as built-in ones, and tried before a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from in_process import search_locally
from tiny_tasks import search_config

import search
from search.config.config import Config
from search.config.stages import load_config
from search.errors import ConfigError
from search.samplers.first_try import try_sampler

SEEN: list[list[float]] = []


class Recording(optuna.samplers.TPESampler):
    """TPE that remembers which scores it was shown."""

    def __init__(self, seed: int, note: str = "") -> None:
        super().__init__(seed=seed, n_startup_trials=2)
        assert note == "seen"

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, Any]
    ) -> dict[str, Any]:
        SEEN.append([each.value for each in study.get_trials(deepcopy=False) if each.value is not None])
        return super().sample_relative(study, trial, search_space)


class Forgetful(optuna.samplers.RandomSampler):
    """Takes no seed."""

    def __init__(self) -> None:
        super().__init__()


def config_with(**sampler: Any) -> Config:
    return load_config(search_config(sampler=sampler)).first


def test_an_imported_sampler_sees_scores_and_draws_the_same_again(tmp_path: Path) -> None:
    sampler = {"name": f"{__name__}:Recording", "note": "seen", "seed": 3}
    runs = []
    for name in ("first", "second"):
        SEEN.clear()
        summary = search_locally(search_config(name=name, sampler=sampler), results=tmp_path)
        runs.append(search.Run(summary.folder).trials.filter(like="params_"))
    assert runs[0].equals(runs[1])
    assert len(runs[0].drop_duplicates()) == len(runs[0])
    assert max(len(scores) for scores in SEEN[3:]) == len(runs[0]) - 1  # after the first try's three
    assert all(0 <= score <= 1 for scores in SEEN for score in scores)


def test_the_class_that_tpe_is_draws_as_it_does_with_the_same_arguments(tmp_path: Path) -> None:
    arguments = {"n_startup_trials": 2, "multivariate": True, "group": True, "constant_liar": True}
    imported = {"name": "optuna.samplers:TPESampler", "seed": 5, **arguments}
    built_in = {"name": "tpe", "seed": 5, "startup_trials": 2, "kernels": "gaps"}
    tables = [
        search.Run(
            search_locally(search_config(name=name, sampler=sampler), results=tmp_path).folder
        ).trials.filter(like="params_")
        for name, sampler in (("imported", imported), ("built_in", built_in))
    ]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (
            {"name": "optuna.samplers:TPESampl"},
            "the module optuna.samplers has no 'TPESampl'; did",
        ),
        (
            {"name": "optuna.samplers:TPESampler", "n_startup": 3},
            "n_startup: .*mean 'n_startup_trials'",
        ),
        ({"name": "optuna.samplers:PartialFixedSampler", "fixed_params": {}}, "needs base_sampler too"),
        ({"name": "tp"}, "sampler.name: received 'tp'; must be 'tpe', .* did you mean 'tpe'"),
        ({"name": "nowhere:Sampler"}, "there is no module 'nowhere'"),
    ],
)
def test_a_wrong_path_or_argument_is_named_with_its_key(sampler: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_with(**sampler)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("optuna.samplers:CmaEsSampler", r"keeps a state in attributes of the trials \(cma:"),
        ("optuna.samplers:NSGAIISampler", r"keeps a state in attributes of the trials \(NSGAIISampler:"),
        ("optuna.samplers:QMCSampler", r"keeps a state in attributes of the study \(qmc:"),
        ("optuna.samplers:BruteForceSampler", "cannot draw a trial of this space: AssertionError"),
        ("collections:Counter", "returned a Counter; must be an optuna.samplers.BaseSampler"),
    ],
)
def test_a_sampler_that_cannot_be_relied_on_is_refused_before_a_search(name: str, message: str) -> None:
    config = config_with(name=name)
    with pytest.raises(ConfigError, match=message):
        try_sampler(config.sampler, config.space, "c.yaml:5")


@pytest.mark.parametrize("name", ["optuna.samplers:GPSampler", f"{__name__}:Forgetful"])
def test_samplers_that_learn_from_values_alone_pass(name: str) -> None:
    config = config_with(name=name)
    try_sampler(config.sampler, config.space, "c.yaml:5")
