"""Accumulation: equal to the large batch and to a plain loop, without the faults of the articles."""

import copy
import itertools
import math

import pytest
import torch
from linear_tasks import (
    SGD,
    IgnoringTask,
    LinearTask,
    WatchedTask,
    train_steps,
)
from small_trials import SEGMENTATION, small_trainer
from tiny_tasks import DigitsTask
from torch import nn
from torch.nn import functional as F

from trainables.options import TrialOptions
from trainables.segmentation.task import SegmentationTask

# Accumulation


class UnweightedTask(SegmentationTask):
    """Every micro-batch counts alike, whatever it holds: what accumulation without weights does."""

    def loss_weight(self, batch):
        return torch.ones(len(self._loss.terms))


@pytest.mark.parametrize("normalization", ["none", "group"])
@pytest.mark.parametrize("loss", [{}, {"dice": 0.7, "focal": 0.4, "class_weights": "median_frequency"}])
def test_accumulation_equals_the_large_batch(normalization, loss):
    common = {
        **SEGMENTATION,
        "model": {"name": "unet", "width": 4, "depth": 1, "normalization": normalization},
        "loss": loss,
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "ema": None,
    }

    def trained(batch_size, accumulate, task_class=SegmentationTask):
        options = {**common, "batch_size": batch_size, "accumulate": accumulate}
        trainer = small_trainer(task_class, options, count=6)
        return torch.cat([tensor.flatten() for tensor in train_steps(trainer).values()]), trainer.validate()

    large, metrics = trained(12, 1)
    for batch_size, accumulate in ((4, 3), (1, 12)):
        small, small_metrics = trained(batch_size, accumulate)
        torch.testing.assert_close(small, large, rtol=0, atol=1e-6)
        assert small_metrics["valid_loss"] == pytest.approx(metrics["valid_loss"], rel=1e-5)
    assert (trained(4, 3, UnweightedTask)[0] - large).abs().max() > 1e-4


def test_the_micro_batches_of_that_test_have_unequal_valid_targets():
    trainer = small_trainer(SegmentationTask, SEGMENTATION)
    weights = [trainer.task.loss_weight(batch) for batch in trainer.stream.next_step(3)]
    assert len({float(weight[0]) for weight in weights}) == 3


def test_a_micro_batch_without_any_valid_target_counts_nothing():
    def trained(batch_size, accumulate):
        options = {"batch_size": batch_size, "accumulate": accumulate, "optimizer": SGD}
        trainer = small_trainer(IgnoringTask, options, unit="epochs", count=1)
        return train_steps(trainer, 2), trainer.validate()["valid_loss"]

    whole, valid_loss = trained(10, 1)
    parts, _ = trained(1, 10)
    assert math.isfinite(valid_loss)
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected)


def test_validation_counts_valid_targets_whatever_its_batches():
    losses = {
        size: small_trainer(IgnoringTask, {"valid_batch_size": size, "batch_size": 2}).validate()[
            "valid_loss"
        ]
        for size in (1, 3, 10)
    }
    assert losses[1] == pytest.approx(losses[10], rel=1e-6)
    assert losses[3] == pytest.approx(losses[10], rel=1e-6)


# The faults of the articles' example of accumulation


def article_loop(model, batches, optimizer, loss, accumulation_step):
    """As printed, without its .cuda()."""
    model.eval()
    for idx, batch in enumerate(batches):
        x, y = batch
        output = model(x)[:, 0]
        loss(output, y).backward()
        if idx % accumulation_step == 0:
            optimizer.step()
            optimizer.zero_grad()


def steps_of(weights):
    """Which of consecutive forward passes saw other weights than the one before."""
    return [not torch.equal(one, two) for one, two in itertools.pairwise(weights)]


def article_run(num_epochs, accumulate):
    """The article's loop over LinearTask's data in micro-batches of 2, watched like ours."""
    task = WatchedTask(TrialOptions(batch_size=2), {})
    torch.manual_seed(0)
    model = task.build_model()
    x, y = (torch.from_numpy(part) for part in task.train_data())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    class Watched(nn.Module):
        def forward(self, x):
            return task.forward(model, (x,))[:, None]

        def eval(self):
            model.eval()

    for _ in range(num_epochs):
        article_loop(Watched(), zip(x.split(2), y.split(2), strict=True), optimizer, F.mse_loss, accumulate)
    return task, model


def our_run(num_epochs, accumulate):
    options = {"batch_size": 2, "accumulate": accumulate, "optimizer": {"name": "sgd", "lr": 0.1}}
    trainer = small_trainer(WatchedTask, options, unit="epochs", count=1)
    for _ in range(num_epochs):
        trainer.run_virtual_epoch()
    return trainer.task, trainer


def test_the_model_trains_in_training_mode_after_validations_too():
    task, _ = our_run(3, 2)
    assert len(task.training) == 15
    assert all(task.training)
    assert not any(article_run(1, 2)[0].training)


def test_batch_statistics_and_dropout_are_those_of_training():
    trainer = small_trainer(DigitsTask, {"batch_size": 16}, count=2)
    before = copy.deepcopy(dict(trainer.weights()))
    after = train_steps(trainer)
    assert not torch.equal(after["1.running_mean"], before["1.running_mean"])
    assert after["1.num_batches_tracked"] == 2


def test_a_step_comes_after_its_last_micro_batch_only():
    # 5 micro-batches an epoch, 2 for a step, the last step of an epoch of 1
    task, _ = our_run(2, 2)
    assert steps_of(task.weights) == [False, True, False, True, True, False, True, False, True]
    assert steps_of(article_run(2, 2)[0].weights)[0] is True


def test_no_gradient_is_carried_into_the_next_step_or_virtual_epoch():
    task, trainer = our_run(2, 2)
    assert task.gradients == [False, True, False, True, False] * 2
    assert all(parameter.grad is None for parameter in trainer.model.parameters())
    # The article's last step of an epoch, with 3 micro-batches for a step, is after the fourth of 5.
    assert article_run(2, 3)[0].gradients[5] is True


def test_the_loss_is_divided_so_that_a_step_is_the_mean_over_its_samples():
    options = {"optimizer": {"name": "sgd", "lr": 0.1}}
    deltas = []
    for batch_size, accumulate in ((10, 1), (5, 2), (2, 5)):
        trainer = small_trainer(
            LinearTask, {**options, "batch_size": batch_size, "accumulate": accumulate}, count=1
        )
        before = trainer.model.weight.detach().clone()
        deltas.append(train_steps(trainer)["weight"] - before)
    torch.testing.assert_close(deltas[1], deltas[0])
    torch.testing.assert_close(deltas[2], deltas[0])


def test_epochs_with_a_remainder_equal_a_plain_loop_written_out():
    trainer = small_trainer(
        LinearTask, {"batch_size": 2, "accumulate": 2, "optimizer": SGD}, unit="epochs", count=1
    )
    model = copy.deepcopy(trainer.model)
    stream = copy.deepcopy(trainer.stream)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        parts = [torch.cat(part) for part in zip(*stream.next_step(2), strict=True)]
        for _ in range(2):
            more = [torch.cat(part) for part in zip(*stream.next_step(2), strict=True)]
            F.mse_loss(model(parts[0])[:, 0], parts[1]).backward()
            optimizer.step()
            optimizer.zero_grad()
            parts = more
        assert len(parts[0]) == 2
        F.mse_loss(model(parts[0])[:, 0], parts[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    weights = train_steps(trainer, 2)
    for name, expected in model.state_dict().items():
        torch.testing.assert_close(weights[name], expected)
