"""Predictions averaged over flips: exactly the mean of their softmaxes, and nothing where it is off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_trials import SEGMENTATION, small_trainer
from torch import Tensor, nn

from trainables.predicting.flips import flipped_logits
from trainables.predicting.windows import window_logits
from trainables.segmentation.task import SegmentationTask

DIMS: dict[str, list[tuple[int, ...]]] = {
    "horizontal": [(), (3,)],
    "vertical": [(), (2,)],
    "both": [(), (3,), (2,), (2, 3)],
}


def average(predict: Any, images: Tensor, flips: str) -> Tensor:
    """The mean softmax, in float64."""
    each = [predict(images.flip(dims)).flip(dims).double().softmax(dim=1) for dims in DIMS[flips]]
    return torch.stack(each).mean(dim=0)


def trainer(**validation: Any) -> Any:
    return small_trainer(SegmentationTask, {**SEGMENTATION, "validation": validation})


@pytest.mark.parametrize("flips", DIMS)
def test_logits_are_the_logarithm_of_the_mean_softmax(flips: str) -> None:
    model, images = nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 9, 14)
    with torch.no_grad():
        found = flipped_logits(model, images, flips)
        expected = average(model, images, flips)
    torch.testing.assert_close(found.exp().double(), expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.softmax(dim=1).double(), expected, rtol=1e-5, atol=1e-7)


def test_sure_predictions_stay_finite() -> None:
    logits = torch.tensor([1000.0, -1000.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert flipped_logits(lambda images: logits, torch.zeros(1, 3, 4, 4), "both").isfinite().all()


@pytest.mark.parametrize("flips", DIMS)
@pytest.mark.parametrize("window", [None, 8])
def test_validation_reports_metrics_and_loss_of_the_average(flips: str, window: int | None) -> None:
    made = trainer(flips=flips, window=window)
    found = made.validate()
    task, model = made.task, made.evaluated_model.eval()

    def predict(images: Tensor) -> Tensor:
        if window is None:
            return model(images)
        return window_logits(model, images, window=window, overlap=0.5, batch_size=4)

    metrics, losses, weights = task.built_in_metrics(), [], []
    source = task.valid_data()
    for number in range(len(source)):
        batch = source.batch(np.array([number]), None)
        with torch.no_grad():
            logits = average(predict, batch[0], flips).log().float()
        metrics.update(logits, batch)
        losses.append(task.loss(logits, batch) * task.loss_weight(batch))
        weights.append(task.loss_weight(batch))
    expected = metrics.compute()
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    mean = (torch.stack(losses).sum(dim=0) / torch.stack(weights).sum(dim=0)).sum()
    assert found["valid_loss"] == pytest.approx(float(mean), rel=1e-4)


def test_metrics_differ_from_those_without_flips() -> None:
    assert trainer(flips="both").validate() != trainer().validate()


@pytest.mark.parametrize("window", [None, 8])
def test_off_is_bit_for_bit_what_the_model_predicts(window: int | None) -> None:
    made = trainer(flips="none", window=window)
    batch = made.task.valid_data().batch(np.arange(1), None)
    model = made.evaluated_model.eval()
    with torch.no_grad():
        found = made.task.forward(model, batch)
        whole = model(batch[0])
        size = made.task.options.valid_batch_size
        windows = window_logits(model, batch[0], window=8, overlap=0.5, batch_size=size)
    assert torch.equal(found, whole if window is None else windows)


def test_training_predicts_once() -> None:
    made = trainer(flips="both")
    seen: list[bool] = []
    made.model.register_forward_hook(lambda module, inputs, output: seen.append(module.training))
    batch = made.task.train_data().batch(np.arange(2), None)
    made.task.forward(made.model.train(), batch)
    made.task.forward(made.model.eval(), batch)
    assert seen == [True] + 4 * [False]


def test_the_export_says_that_metrics_are_of_the_average() -> None:
    assert "averaged over flips (both)" in trainer(flips="both").preprocessing()["how"]
    assert "flips" not in trainer().preprocessing()["how"]
