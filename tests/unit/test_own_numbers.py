"""Regression on data sets of one's own by their path."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import own_parts
import pytest
import torch
from pydantic import ValidationError

from trainables.build import build_trainer, load_arrays
from trainables.data.notes import heard_notes
from trainables.data.source import as_source
from trainables.regression.task import RegressionTask
from trainables.training.trainer import Trainer

LENGTHS = {"source": "own_parts:Lengths"}
MODEL = {"name": "own_parts:Flattened"}


def trainer_of(data: dict[str, Any], **trial: Any) -> Trainer:
    options = RegressionTask.Options.parse({"data": data, "batch_size": 16, "model": MODEL, **trial})
    arrays = load_arrays(RegressionTask, options)
    device = torch.device("cpu")
    return build_trainer(
        RegressionTask, options, arrays, unit="steps", count=40, num_virtual_epochs=5, device=device
    )


def test_numbers_are_learned_in_their_own_units_and_measured_exactly() -> None:
    trainer = trainer_of(LENGTHS, optimizer={"name": "sgd", "lr": 0.02})
    reports = [trainer.run_virtual_epoch() for _ in range(5)]
    assert reports[-1]["rmse"] < 1.0 < reports[0]["rmse"]  # millimetres, of a deviation of 50
    valid = own_parts.Lengths("valid")
    inputs = torch.stack([valid[index][0] for index in range(len(valid))])
    truth = torch.tensor([float(valid[index][1]) for index in range(len(valid))])
    target = trainer.task.preprocessing()["target"]
    with torch.no_grad():
        predicted = trainer.model.eval()(inputs)[:, 0] * target["std"] + target["mean"]
    assert reports[-1]["mae"] == pytest.approx(float((predicted - truth).abs().mean()), abs=1e-4)


def test_the_scale_is_that_of_up_to_a_thousand_targets_which_is_told_or_as_given() -> None:
    with heard_notes() as notes:
        target = trainer_of(LENGTHS).task.preprocessing()["target"]
    train = own_parts.Lengths("train")
    chosen = np.unique(np.linspace(0, 1199, 1000).round().astype(int))
    values = np.array([float(train[index][1]) for index in chosen])
    assert target["mean"] == pytest.approx(values.mean())
    assert target["std"] == pytest.approx(values.std())
    (said,) = notes
    assert "are those of 1,000 of 1,200 training samples; data.target_mean and data.target_std" in said
    given = trainer_of({**LENGTHS, "target_mean": 100, "target_std": 10}).task
    assert given.preprocessing()["target"] == {"mean": 100, "std": 10}
    _, targets = as_source(given.train_data()).batch(np.arange(2), None)
    assert targets.tolist() == [[pytest.approx((float(train[index][1]) - 100) / 10)] for index in range(2)]


def test_a_plain_number_is_a_target_too() -> None:
    values = [trainer_of({**LENGTHS, **more}).run_virtual_epoch()["mse"] for more in ({}, {"item": "number"})]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"item": "two"}, "has a target of torch.float32 [2]; must be one number, in its own units"),
        ({"item": "flag"}, "has a target of torch.bool []; must be one number"),
        ({"item": "infinite"}, "own_parts:Lengths[0] of train has the target inf; must be finite"),
        ({"item": "constant"}, "has the target 300 in each of 1000 training samples; a target must vary"),
    ],
)
def test_what_is_no_number_is_named(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        trainer_of({**LENGTHS, **data})


def test_images_need_a_model_of_ones_own() -> None:
    with pytest.raises(ValueError, match=r"model mlp takes rows of numbers, and the inputs are \[1, 4, 4\]"):
        trainer_of(LENGTHS, model={"name": "mlp"})


def test_a_mean_alone_is_refused() -> None:
    with pytest.raises(ValidationError, match="target_mean is given alone; give target_std too"):
        RegressionTask.Options.parse({"data": {**LENGTHS, "target_mean": 3}})
