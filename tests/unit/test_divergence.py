"""Losses and gradients that are not finite, with and without loss scaling."""

import math

import pytest
import torch
from linear_tasks import LinearTask, Scaled, train_steps
from small_trials import CPU, small_trainer

from trainables.training.progress import DivergedError, Progress


class DivergingTask(LinearTask):
    """At step `model.at`: the loss, or only its gradient, is not finite."""

    def loss(self, outputs, batch):
        loss = super().loss(outputs, batch)
        kind, at = self.options.model["kind"], self.options.model["at"]
        if not outputs.requires_grad:
            return loss
        self._step = getattr(self, "_step", -1) + 1
        if self._step != at:
            return loss
        # The derivative of the root at 0 is infinite: 0 * inf makes the gradient NaN, the value stays.
        return loss * torch.nan if kind == "loss" else loss + (0.0 * outputs).sum().sqrt()


@pytest.mark.parametrize("at", [0, 3])
def test_a_loss_that_is_not_finite_ends_the_trial_at_its_step(at):
    trainer = small_trainer(DivergingTask, {"batch_size": 2, "model": {"kind": "loss", "at": at}})
    with pytest.raises(DivergedError, match=rf"step {at}: loss nan, gradient norm nan") as caught:
        trainer.run_virtual_epoch()
    assert caught.value.step == at
    assert math.isnan(caught.value.loss)


def test_a_gradient_that_is_not_finite_ends_the_trial_though_the_loss_is_finite():
    trainer = small_trainer(DivergingTask, {"batch_size": 2, "model": {"kind": "gradient", "at": 2}})
    with pytest.raises(DivergedError, match=r"step 2: loss \d.*, gradient norm nan") as caught:
        trainer.run_virtual_epoch()
    assert math.isfinite(caught.value.loss)
    assert math.isnan(caught.value.grad_norm)


def test_where_looking_costs_time_the_first_bad_step_is_found_at_the_end():
    progress = Progress(CPU)
    progress._look_at_once = False
    losses = [1.0, 2.0, math.inf, math.nan, 1.0]
    first = 2**24 + 1  # not a float32
    for number, loss in enumerate(losses):
        progress.add(first + number, torch.tensor(loss), torch.tensor(float(number)))
    with pytest.raises(DivergedError) as caught:
        progress.raise_if_diverged()
    assert (caught.value.step, caught.value.loss, caught.value.grad_norm) == (first + 2, math.inf, 2.0)


def test_finite_steps_epoch_and_average_either_way():
    for at_once in (True, False):
        progress = Progress(CPU)
        progress._look_at_once = at_once
        for loss in (1.0, 2.0, 6.0):
            progress.add(0, torch.tensor(loss), torch.tensor(1.0))
        progress.raise_if_diverged()
        assert progress.mean_loss() == 3.0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "radam"])
def test_with_a_loss_scaler_one_infinite_gradient_is_skipped(optimizer):
    options = {"batch_size": 2, "model": {"kind": "gradient", "at": 2}, "optimizer": {"name": optimizer}}
    trainer = small_trainer(DivergingTask, options)
    trainer.precision = Scaled(1024.0)
    trainer.run_virtual_epoch()
    assert trainer.precision.scaler.get_scale() == 512.0
    assert all(torch.isfinite(tensor).all() for tensor in trainer.weights().values())


def test_loss_scaling_changes_no_weight():
    plain, scaled = (small_trainer(LinearTask, {"batch_size": 2, "clip_norm": 0.1}) for _ in range(2))
    scaled.precision = Scaled(1024.0)
    expected = train_steps(plain)
    for name, tensor in train_steps(scaled).items():
        torch.testing.assert_close(tensor, expected[name])


def test_gradients_that_stay_infinite_whatever_the_scale_end_the_trial():
    class AlwaysTask(DivergingTask):
        def loss(self, outputs, batch):
            self._step = -1
            return super().loss(outputs, batch)

    trainer = small_trainer(AlwaysTask, {"batch_size": 2, "model": {"kind": "gradient", "at": 0}}, count=20)
    trainer.precision = Scaled(8.0)
    with pytest.raises(DivergedError, match=r"step 3: loss \d.*, gradient norm nan"):
        trainer.run_virtual_epoch()
