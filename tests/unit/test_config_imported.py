"""Paths in a configuration: each mistake one message with its line, before anything runs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from search.config.stages import load_config
from search.errors import ConfigError

HEAD = """\
name: own
task: segmentation
objective: {metric: miou, mode: max}
virtual_epoch: {steps: 10}
trial:
"""
NET = 'name: "own_parts:Net", in_channels: 1, num_classes: 11'


DATA = "  data: {source: digits}\n"


def problems(trial: str, task: str = "segmentation", data: str = DATA) -> list[str]:
    """What is wrong with a configuration whose seventh line is the first of `trial`."""
    head = HEAD + data
    if task != "segmentation":
        head = head.replace("digits", "diabetes").replace("segmentation", task).replace("miou", "r2")
    Path("own.yaml").write_text(head + trial)
    try:
        load_config("own.yaml")
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_everything_may_be_a_path_and_each_argument_a_domain():
    assert not problems(f"""\
  model: {{{NET}, width: {{choice: [4, 8]}}}}
  loss: {{dice: 0.5, terms: {{own: {{name: "own_parts:ignoring", coefficient: {{uniform: [0, 1]}}}}}}}}
  metrics: {{right: {{name: "own_parts:right_share"}}}}
  augment: {{transforms: {{turn: {{name: "own_parts:quarter_turns", most: {{randint: [0, 3]}}}}}}}}
  optimizer: {{name: "own_parts:Slow", slowness: {{uniform: [1, 4]}}}}
  lr_schedule: {{name: "torch.optim.lr_scheduler:CosineAnnealingLR", T_max: {{randint: [5, 50]}}}}
""")


def test_the_name_itself_may_be_a_domain_with_arguments_of_its_own():
    assert not problems(f"""\
  model:
    choice:
    - {{{NET}}}
    - {{name: "own_parts:make_net", num_classes: 11, width: {{choice: [2, 3]}}}}
    - {{name: unet, depth: {{randint: [1, 3]}}}}
  optimizer: {{name: {{choice: [adamw, "own_parts:Slow"]}}}}
""")


OPTIMIZER, SCHEDULE = 'optimizer: {name: "own_parts:Slow"', 'lr_schedule: {name: "own_parts:halving"'
MISTAKES = {
    'model: {name: "own_part:Net"}': "own.yaml:7: trial.model.name: there is no module 'own_part'",
    'model: {name: "own_parts:Nt"}': "own.yaml:7: trial.model.name: the module own_parts has no 'Nt'",
    'model: {name: "own_parts.py:Net"}': "must be package.module:Name; write own_parts:Net",
    'model: {name: "own_parts:NOT_CALLABLE"}': "is an int; must be a class or a function",
    "model: {name: unett}": "must be one of 'unet', 'segformer', or a path, package.module:Name",
    "model: {width: 3}": "trial.model.name: is required and missing; must be one of 'unet'",
    f"model: {{{NET}, strid: 2}}": "own.yaml:7: trial.model.strid: own_parts:Net has no argument 'strid'",
    'model: {name: "own_parts:Net"}': "trial.model.name: own_parts:Net needs in_channels, num_classes",
    'loss:\n    terms:\n      own: {name: "own_parts:mean_of_images", factr: 1}': (
        "own.yaml:9: trial.loss.terms.own.factr: own_parts:mean_of_images has no argument 'factr'"
    ),
    'loss: {terms: {dice: {name: "own_parts:ignoring"}}}': "the term 'dice' has the name of an option",
    'augment: {transforms: {turn: {name: "albumentations:Rotate", limt: 3}}}': (
        "turn.limt: albumentations:Rotate has no argument 'limt'; did you mean 'limit'?"
    ),
    'data: {source: "own_parts:Streetz", num_classes: 2}': (
        "own.yaml:6: trial.data.source: the module own_parts has no 'Streetz'; did you mean 'Streets'?"
    ),
    'data: {source: "own_parts:Streets", num_classes: 2, numer: 3}': (
        "own.yaml:6: trial.data.numer: own_parts:Streets has no argument 'numer'; did you mean 'number'?"
    ),
    'data: {source: "own_parts:Streets"}': "own.yaml:6: trial.data: needs class_names, or num_classes",
    "data: {source: foldr}": "'datasets', 'shards', or a path, package.module:Name; did you mean 'folder'?",
    'augment: {transforms: {turn: {name: "own_parts:grey"}}}': "with image, mask, rng, and takes 2 of these",
    'metrics: {right: {name: "own_parts:without_places"}}': "called with outputs, targets, and takes 0",
    'optimizer: {name: "own_parts:Net"}': "is class Net; must be a subclass of torch.optim.Optimizer",
    f"{OPTIMIZER}, slownes: 3}}": "own.yaml:7: trial.optimizer.slownes: own_parts:Slow has no argument",
    f"{OPTIMIZER}, slowness: 0}}": "trial.optimizer: torch.optim refuses these values: ZeroDivisionError",
    f"{SCHEDULE}, facto: 3}}": "own_parts:halving has no argument 'facto'; did you mean 'factor'?",
    'lr_schedule: {name: "torch.optim.lr_scheduler:StepLR"}': "lr_scheduler:StepLR needs step_size too",
    "lr_schedule: {name: cosin}": "must be 'constant', 'linear', 'cosine', 'polynomial' or 'one_cycle'",
}


@pytest.mark.parametrize(("trial", "message"), MISTAKES.items())
def test_a_mistake_is_one_message_at_its_line(trial, message):
    (found,) = problems(f"  {trial}\n", data="" if trial.startswith("data:") else DATA)
    assert message in found


def test_losses_of_the_other_tasks_are_checked_alike():
    (found,) = problems('  loss: {name: "torch.nn:HuberLos"}\n', task="regression")
    assert "trial.loss.name: the module torch.nn has no 'HuberLos'; did you mean 'HuberLoss'?" in found
    (found,) = problems("  loss: {name: hubber}\n", task="regression")
    assert "must be one of 'mse', 'mae', 'huber', or a path" in found


@pytest.mark.parametrize(("metric", "is_right"), [("right", True), ("right/0", True), ("rigt", False)])
def test_a_metric_by_its_path_may_be_the_objective(metric, is_right):
    trial = '  metrics: {right: {name: "own_parts:right_share"}}\n'
    Path("own.yaml").write_text(HEAD.replace("miou", metric) + DATA + trial)
    with nullcontext() if is_right else pytest.raises(ConfigError, match="did you mean 'right'"):
        load_config("own.yaml")
