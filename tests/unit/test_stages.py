"""Configurations with stages: what each one amounts to, and every mistake at its line before any runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_tasks import search_config

from search.config.merging import merged
from search.config.schema import Asha, NoScheduler
from search.config.stages import SearchConfig, load_config, open_run
from search.errors import ConfigError

CHOICE = {"choice": [{"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}}, {"name": "sgd", "lr": 0.1}]}


def staged(*stages: dict[str, Any], trial: dict[str, Any] | None = None, **sections: Any) -> SearchConfig:
    trial = {"model": {"hidden": 8}, "batch_size": 16} if trial is None else trial
    return load_config(search_config(trial=trial, stages=list(stages), **sections))


def test_mappings_merge_key_by_key_and_all_else_replaces() -> None:
    base = {"a": 1, "model": {"width": 8, "depth": {"choice": [1, 2]}}, "lr": {"uniform": [0, 1]}}
    over = {"model": {"depth": 3}, "lr": {"name": "x"}, "b": {"randint": [1, 2]}}
    assert merged(base, over) == {
        "a": 1,
        "model": {"width": 8, "depth": 3},
        "lr": {"name": "x"},
        "b": {"randint": [1, 2]},
    }
    assert base["model"] == {"width": 8, "depth": {"choice": [1, 2]}}


def test_each_stage_has_its_own_space_budget_sampler_and_scheduler() -> None:
    config = staged(
        {"name": "first", "trial": {"optimizer": CHOICE}, "budget": {"trials": 5}},
        {
            "name": "second",
            "trial": {"batch_size": {"choice": [8, 32]}},
            "budget": {"max_virtual_epochs": 2},
            "sampler": {"name": "grid"},
            "scheduler": {"name": "none"},
            "plateau": {"patience": 3},
        },
        scheduler={"name": "asha", "grace_period": 2},
        budget={"trials": 7, "max_virtual_epochs": 9},
    )
    assert [config.folder_name(number) for number in range(len(config.stages))] == ["1-first", "2-second"]
    first = config.first
    assert first.space.names == (
        "optimizer",
        "optimizer.adamw.lr",
    )
    assert (first.budget.trials, first.scheduler, first.plateau) == (5, Asha(grace_period=2), None)
    best = {"model": {"hidden": 8}, "batch_size": 16, "optimizer": {"name": "sgd", "lr": 0.1}}
    second = config.stage(1, best, {"batch_size": 32})
    assert second.space.names == ("batch_size",)
    assert next(second.space.candidates()).options == {**best, "batch_size": 8}
    assert (second.budget.trials, second.budget.max_virtual_epochs) == (7, 2)
    assert (second.sampler.name, second.scheduler, second.plateau.patience) == ("grid", NoScheduler(), 3)
    assert second.points_to_evaluate == [{"batch_size": 32}]
    assert list(config.searched_paths(0)) == [("optimizer",)]


def test_without_stages_it_is_one_without_a_name() -> None:
    config = load_config(search_config())
    assert [stage.name for stage in config.stages] == [""]
    assert not config.is_staged
    assert config.stage(0) is config.first
    assert config.raw == config.first.raw
    assert [stage.name for stage in staged().stages] == [""]
    assert staged({"name": "only"}).is_staged


def test_domains_that_no_stage_names_belong_to_the_first() -> None:
    config = staged(
        {"name": "a", "trial": {"optimizer": {"lr": {"uniform": [0.1, 1]}}}},
        {"name": "b", "trial": {"batch_size": {"choice": [8, 16]}}},
        trial={"model": {"hidden": {"choice": [8, 16]}}},
    )
    assert config.first.space.names == (
        "model.hidden",
        "optimizer.lr",
    )


def test_known_points_of_the_whole_are_of_the_first_stage() -> None:
    config = staged(
        {"name": "a", "trial": {"optimizer": {"lr": {"uniform": [0.1, 1]}}}},
        {"name": "b", "trial": {"batch_size": {"choice": [8, 16]}}, "sampler": {"seed": 3}},
        sampler={"points_to_evaluate": [{"optimizer.lr": 0.5}]},
    )
    assert config.first.points_to_evaluate == [{"optimizer.lr": 0.5}]
    second = config.stage(1, {"optimizer": {"lr": 0.5}})
    assert (second.points_to_evaluate, second.sampler.seed) == ([], 3)


def test_what_is_written_to_the_folder_is_read_back_alike(tmp_path: Path) -> None:
    from search.config.document import write_yaml

    config = staged({"name": "a", "trial": {"optimizer": CHOICE}}, {"name": "b"})
    write_yaml(tmp_path / "config.yaml", config.raw)
    for again in (load_config(tmp_path / "config.yaml"), open_run(tmp_path / "config.yaml")):
        assert again.raw == config.raw
        assert [c.space for s in again.stages for c in s.configs] == [
            c.space for s in config.stages for c in s.configs
        ]


def problems_of(tmp_path: Path, stages: str, trial: str = "{model: {hidden: 8}}") -> list[str]:
    file = tmp_path / "c.yaml"
    file.write_text(
        "task: segmentation\n"
        "objective: {metric: miou, mode: max}\n"
        "trial: {data: {source: digits}, model: {name: unet, width: 8}}\n"
        "virtual_epoch: {steps: 5}\n"
        "budget: {max_virtual_epochs: 9}\n"
        f"{stages}"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_every_mistake_of_every_stage_is_told_at_its_line(tmp_path: Path) -> None:
    stages = """\
stages:
  - name: optimizer
    trial:
      optimizer: {choice: [{name: adamw, lr: {loguniform: [0, 1e-1]}}, {name: sgd, lr: 1e-2}]}
    budget: {trails: 12}
  - name: batch_size
    trial:
      batch_size: {choice: [4, 0]}
      model: {widht: 9}
    scheduler: {grace_period: 10}
"""
    assert problems_of(tmp_path, stages) == [
        "c.yaml:9: stages.0.trial.optimizer.adamw.lr: received [0, 0.1]; loguniform needs [low, high] with "
        "0 < low < high",
        "c.yaml:10: stages.0.budget.trails: unknown key 'trails'; did you mean 'trials'?",
        "c.yaml:13: stages.1.trial.batch_size: received 0; must be greater than 0, 'full' or 'auto'",
        "c.yaml:14: stages.1.trial.model.widht: unknown key 'widht'; did you mean 'width'?",
        "c.yaml:15: stages.1.scheduler.grace_period: received 10; must be at most budget.max_virtual_epochs, which is 9",  # noqa: E501
    ]


def test_a_later_stage_is_checked_with_each_earlier_option_in_place(tmp_path: Path) -> None:
    """Where adamw wins, the second stage's momentum is an option that it does not have."""
    stages = """\
stages:
  - name: optimizer
    trial: {optimizer: {choice: [{name: sgd, lr: 1e-2}, {name: adamw, lr: 1e-2}]}}
  - name: width
    trial: {model: {width: {choice: [4, 8]}}}
  - name: momentum
    trial:
      optimizer: {momentum: {uniform: [0.0, 0.9]}}
"""
    (problem,) = problems_of(tmp_path, stages)
    assert problem.startswith("c.yaml:13: stages.2.trial.optimizer.momentum: optimizer AdamW has no option")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("stages: 3", "c.yaml:6: stages: received 3; must be a list"),
        ("stages: [{trial: {}}]", "c.yaml:6: stages.0.name: is required and missing"),
        (
            "stages: [{name: a/b}]",
            "c.yaml:6: stages.0.name: received 'a/b'; must be at most 80 letters, digits",
        ),
        (
            "stages: [{name: a, trail: {}}]",
            "c.yaml:6: stages.0.trail: unknown key 'trail'; did you mean 'trial'?",
        ),
        (
            "stages: [{name: a}, {name: a}]",
            "c.yaml:6: stages: two stages have the name 'a'; give each another",
        ),
        ("stages: [{name: a, trial: 4}]", "c.yaml:6: stages.0.trial: received 4; must be a mapping"),
        ("stagse: [{name: a}]", "c.yaml:6: stagse: unknown key 'stagse'; did you mean 'stages'?"),
    ],
)
def test_a_mistake_in_the_list_of_stages_is_told_in_a_sentence(
    tmp_path: Path, stages: str, message: str
) -> None:
    (problem,) = problems_of(tmp_path, stages)
    assert problem.startswith(message)


def test_an_override_of_a_stage_is_named_as_it_was_given() -> None:
    config = search_config(trial={"batch_size": 16}, stages=[{"name": "a", "trial": {"batch_size": 8}}])
    with pytest.raises(ConfigError) as caught:
        load_config(config, ["stages.0.trial.batch_size=0"])
    (problem,) = caught.value.problems
    assert str(problem) == (
        "--set stages.0.trial.batch_size=0: stages.0.trial.batch_size: received 0; "
        "must be greater than 0, 'full' or 'auto'"
    )


def test_a_secret_in_a_stage_is_refused_at_its_line(tmp_path: Path) -> None:
    stages = "stages:\n  - {name: a}\n  - {name: b, trial: {data: {api_key: x}}}\n"
    (problem,) = problems_of(tmp_path, stages)
    assert problem.startswith("c.yaml:8: stages.1.trial.data.api_key: is a secret by its name")
