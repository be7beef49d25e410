"""Trials with models of all kinds, interrupted and resumed."""

from types import SimpleNamespace

import pytest
import torch
from small_trials import (
    assert_identical,
    digits_plan,
    everything,
    run,
)
from tiny_tasks import DigitsTask

pytestmark = pytest.mark.usefixtures("small_machine")


class LazyTask(DigitsTask):
    """Its model learns the shape of its inputs from a first batch."""

    def build_model(self):
        return torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.LazyLinear(8),
            torch.nn.LazyBatchNorm1d(),
            torch.nn.ReLU(),
            torch.nn.LazyLinear(10),
        )


class OutputsTask(DigitsTask):
    """Its model returns an object with logits, and has tied weights and a buffer of integers."""

    def build_model(self):
        model = Holding(super().build_model())
        model.tied, model.count = torch.nn.Linear(3, 3), torch.nn.Buffer(torch.tensor(3))
        model.again = torch.nn.Linear(3, 3)
        model.again.weight = model.tied.weight
        return model

    def forward(self, model, batch):
        return super().forward(model, batch).logits


class Holding(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return SimpleNamespace(logits=self.inner(x))


@pytest.mark.parametrize("task", ["LazyTask", "OutputsTask"])
@pytest.mark.parametrize("ema", [None, 0.9])
def test_models_of_all_kinds_are_trained_and_go_on_exactly(tmp_path, task, ema):
    options = {"batch_size": 16, "ema": ema}
    plan = {"task": f"test_session_models:{task}", "options": options}
    whole = run(digits_plan(tmp_path / "whole", **plan))
    run(digits_plan(tmp_path / "cut", **plan), 2)
    resumed = run(digits_plan(tmp_path / "cut", reported=2, **plan))
    assert_identical(everything(resumed), everything(whole))
