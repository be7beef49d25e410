"""Configurations over a task that stands in the current folder, as a user's own does."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.config.stages import load_config
from search.errors import ConfigError

TASK = """
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator

from trainables.base_options import Options
from trainables.options import TrialOptions
from trainables.task import Task


class Unet(Options):
    name: Literal["unet"] = "unet"
    width: PositiveInt = 16


class Fcn(Options):
    kind: Literal["fcn"] = "fcn"
    depth: int = 1


class Deep(Options):
    kind: Literal["deep"]
    atrous: list[PositiveInt] = [6]


class MyOptions(TrialOptions):
    model: Unet = Unet()
    head: Annotated[Fcn | Deep, Field(discriminator="kind")] = Fcn()
    plain: Fcn | Deep | None = None
    size: int | list[int] | Literal["auto"] = "auto"
    tag: str = ""

    @field_validator("tag")
    @classmethod
    def _good(cls, tag: str) -> str:
        if tag.startswith("bad"):
            raise ValueError("a tag must be good")
        return tag


class MyTask(Task):
    Options = MyOptions


class Declaring(MyTask):
    metric_names = ("yours", "part/")


class Overriding(Declaring):
    def metrics(self):
        raise NotImplementedError


class NoTask:
    pass
"""


MINIMAL = """\
task: my_task:MyTask
objective: {metric: miou, mode: max}
trial: {}
virtual_epoch: {steps: 50}
"""


FULL = """\
name: seg
task: my_task:MyTask
objective: {metric: miou, mode: max}
trial:
  data: {source: digits}
  model: {name: unet, width: {choice: [16, 32, 64]}}
  optimizer:
    choice:
      - {name: adamw, lr: {loguniform: [1e-4, 1e-1]}, weight_decay: {loguniform: [1e-6, 1e-1]}}
      - {name: sgd, lr: {loguniform: [1e-3, 1.0]}, momentum: {uniform: [0.0, 0.99]}}
  batch_size: {choice: [8, 16, 32]}
virtual_epoch: {steps: 50}
budget: {trials: 24, max_virtual_epochs: 27, time: 1h30m}
sampler:
  name: tpe
  points_to_evaluate:
    - {optimizer: {name: adamw, lr: 1e-3}, batch_size: 16}
scheduler: {name: asha, grace_period: 1, reduction_factor: 3}
resources: {cpus_per_trial: 1, gpus_per_trial: 0.25}
"""


def load(text, *overrides):
    Path("c.yaml").write_text(text)
    return load_config("c.yaml", overrides).first


def problems_of(text, *overrides):
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def trial_problems(trial, *overrides):
    return problems_of(MINIMAL.replace("trial: {}", f"trial: {trial}"), *overrides)
