"""`objectives` over a base, and what is said of mistakes in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from rooms import ROOT
from tiny_tasks import search_config

from search.commands.schema import schema
from search.config.document import read_document, write_yaml
from search.config.stages import load_config
from search.errors import ConfigError

ONE: dict[str, Any] = {"metric": "accuracy", "mode": "max"}
DIGITS = ROOT / "configs" / "objectives.yaml"
"""Of a built-in task, whose metrics are known."""
TWO: list[dict[str, Any]] = [ONE, {"metric": "parameters", "mode": "min"}]


def several(objectives: list[dict[str, Any]]) -> dict[str, Any]:
    config = {**search_config(), "objectives": objectives}
    del config["objective"]
    return config


def complaint(config: dict[str, Any] | Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(config, overrides)
    return str(error.value)


def over(base: dict[str, Any], own: dict[str, Any], folder: Path) -> Path:
    write_yaml(folder / "base.yaml", base)
    write_yaml(folder / "own.yaml", {"base": "base.yaml", **own})
    return folder / "own.yaml"


def test_null_takes_the_objective_of_a_base_out(tmp_path: Path) -> None:
    file = over(search_config(), {"objective": None, "objectives": TWO}, tmp_path)
    found = load_config(file).first
    assert [each.metric for each in found.objectives or ()] == ["accuracy", "parameters"]
    assert "objective" not in found.raw
    tree = read_document(file).tree
    assert list(Draft7Validator(schema()).iter_errors({**tree, "task": "own:Task"})) == []


def test_null_takes_the_objectives_of_a_base_out(tmp_path: Path) -> None:
    found = load_config(over(several(TWO), {"objective": ONE, "objectives": None}, tmp_path)).first
    assert found.objectives is None
    assert found.objective.metric == "accuracy"
    assert found.raw["objective"]["metric"] == "accuracy"


def test_an_override_takes_the_objective_out() -> None:
    several_set = "objectives=[{metric: accuracy, mode: max}, {metric: parameters, mode: min}]"
    found = load_config(search_config(), ["objective=null", several_set]).first
    assert [each.metric for each in found.objectives or ()] == ["accuracy", "parameters"]


def test_both_are_refused_with_the_way_out() -> None:
    said = complaint({**search_config(), "objectives": TWO})
    assert "objective: is given beside objectives; remove one of them, or set it to null" in said
    assert "`objective: null`" in said


def test_both_null_are_none() -> None:
    assert "objective: " in complaint({**search_config(), "objective": None, "objectives": None})


@pytest.mark.parametrize("objective", ["{metric: accuracy}", "3"])
def test_a_broken_objective_beside_objectives_has_no_false_follow_up(objective: str) -> None:
    said = complaint(DIGITS, f"objective={objective}")
    assert "objective" in said
    assert "is measured, and the task reports" not in said


def test_a_misspelt_quantity_is_told_the_measured_ones() -> None:
    said = complaint(DIGITS, "objectives.1.metric=parameter")
    assert "objectives.1.metric: received 'parameter'; the task reports" in said
    assert "and parameters, flops, latency, memory are measured; did you mean 'parameters'?" in said


def test_the_first_objective_is_told_what_is_reported_alone() -> None:
    said = complaint(DIGITS, "objectives.0.metric=latncy", "objectives.1.metric=valid_loss")
    assert "objectives.0.metric: received 'latncy'; the task reports" in said
    assert "are measured" not in said
    assert "did you mean 'latency'" not in said


@pytest.mark.parametrize("given", [[], [ONE]])
def test_fewer_than_two_are_told_the_way_out(given: list[dict[str, Any]]) -> None:
    assert "must be at least 2 long; one alone is given as `objective:`" in complaint(several(given))
