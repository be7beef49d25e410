"""YAML as it is written: easy to read for people, and to readers of YAML 1.1 too."""

from __future__ import annotations

from search.config.yaml_writer import yaml_lines

WRITTEN = """\
name: seg
task: my_task:MyTask
trial:
  data: {path: "${env:DATA}/x", parts: []}
  optimizer:
    choice:
      - name: adamw
        lr:
          loguniform: [1.0e-05, 0.1]
        betas: [0.9, 0.999]
      - {name: sgd, lr: 0.1}
      - null
  answers: ["yes", "1e-4", "2026-01-01", true, 学習]
budget: {trials: 9, time: null}
"""


def test_innermost_lists_and_mappings_stand_on_one_line() -> None:
    adamw = {"name": "adamw", "lr": {"loguniform": [1e-5, 0.1]}, "betas": [0.9, 0.999]}
    trial = {
        "data": {"path": "${env:DATA}/x", "parts": []},
        "optimizer": {"choice": [adamw, {"name": "sgd", "lr": 0.1}, None]},
        "answers": ["yes", "1e-4", "2026-01-01", True, "学習"],
    }
    tree = {"name": "seg", "task": "my_task:MyTask", "trial": trial, "budget": {"trials": 9, "time": None}}
    assert yaml_lines(tree) == WRITTEN


def test_what_is_too_long_for_a_line_has_a_line_for_each_item() -> None:
    assert yaml_lines({"a": ["x" * 60, "y" * 60]}) == f"a:\n  - {'x' * 60}\n  - {'y' * 60}\n"
    assert yaml_lines({"a": [[1, {"b": []}], {}]}) == "a:\n  - - 1\n    - {b: []}\n  - {}\n"


def test_nothing_is_an_empty_mapping() -> None:
    assert yaml_lines({}) == "{}\n"
