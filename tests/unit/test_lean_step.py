"""What a step of the training leaves out where nobody needs it: the result is the same, bit for bit."""

import math

import numpy as np
import pytest
import torch
from small_trials import CPU, SEGMENTATION, assert_identical, small_trainer
from torch.nn import functional as F

from trainables.optim.precision import Precision
from trainables.regression.task import RegressionTask
from trainables.segmentation.task import SegmentationTask
from trainables.training.progress import DivergedError, Progress

REGRESSION = {
    "data": {"source": "diabetes"},
    "model": {"name": "mlp", "width": 8, "depth": 1},
    "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "batch_size": 16,
}


class TensorWeights(RegressionTask):
    def loss_weight(self, batch):
        return torch.tensor(float(len(batch[0])))


class NothingCounts(RegressionTask):
    """The mean over no target is NaN."""

    weight: object = 0.0

    def loss(self, outputs, batch):
        return outputs[:0].mean()

    def loss_weight(self, batch):
        return self.weight


class NothingCountsOnTheDevice(NothingCounts):
    weight = torch.tensor(0.0)


class NothingCountsInOneTerm(RegressionTask):
    def loss(self, outputs, batch):
        return torch.stack([super().loss(outputs, batch), outputs[:0].mean()])

    def loss_weight(self, batch):
        return torch.tensor([1.0, 0.0])


def weights_after(trainer, num_virtual_epochs=1):
    for _ in range(num_virtual_epochs):
        trainer.run_virtual_epoch()
    return {name: tensor.clone() for name, tensor in trainer.weights().items()}


def test_a_trial_is_the_bare_loop_bit_for_bit():
    count = 50  # more than two epochs over 354 rows
    ours = weights_after(small_trainer(RegressionTask, REGRESSION, count=count))
    bare = small_trainer(RegressionTask, REGRESSION, count=count)
    inputs, targets = (torch.from_numpy(bare.task.arrays[f"train_{part}"]) for part in ("inputs", "targets"))
    order = np.concatenate([np.random.default_rng([0, 0, p]).permutation(len(inputs)) for p in range(3)])
    for rows in torch.from_numpy(order).split(16)[:count]:
        F.mse_loss(bare.model(inputs[rows]), targets[rows]).backward()
        bare.optimizer.step()
        bare.optimizer.zero_grad()
    assert_identical(ours, dict(bare.model.state_dict()))


def test_a_single_micro_batch_of_several_terms_is_weighted_by_one():
    options = {**SEGMENTATION, "loss": {"dice": 0.7, "focal": 0.4}, "accumulate": 1}
    options |= {"ema": None, "clip_norm": None, "lr_schedule": {"name": "constant"}}
    ours = weights_after(small_trainer(SegmentationTask, options, count=4))
    whole = small_trainer(SegmentationTask, options, count=4)
    whole.model.train()
    for _ in range(4):
        batch = whole.stream.next_step(1)[0]
        weight = whole.task.loss_weight(batch)
        loss = whole.task.loss(whole.task.forward(whole.model, batch), batch)
        torch.where(weight > 0, loss * (weight / torch.stack([weight]).sum(0)), 0.0).sum().backward()
        whole.optimizer.step()
        whole.optimizer.zero_grad()
    assert_identical(ours, dict(whole.model.state_dict()))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_weight_is_a_number_or_a_tensor(accumulate):
    options = {**REGRESSION, "accumulate": accumulate}
    numbers, tensors = (small_trainer(task, options, count=5) for task in (RegressionTask, TensorWeights))
    assert isinstance(numbers.task.loss_weight(numbers.stream.next_step(1)[0]), float)
    numbers.stream.position = 0
    assert_identical(weights_after(numbers), weights_after(tensors))
    assert numbers.validate() == tensors.validate()


@pytest.mark.parametrize("task", [NothingCounts, NothingCountsOnTheDevice])
def test_a_step_in_which_nothing_counts_moves_nothing_and_is_no_divergence(task):
    trainer = small_trainer(task, {**REGRESSION, "optimizer": {"name": "sgd", "lr": 0.1}}, count=2)
    before = {name: tensor.clone() for name, tensor in trainer.weights().items()}
    metrics = trainer.run_virtual_epoch()
    assert metrics["train_loss"] == 0.0
    assert_identical(before, dict(trainer.weights()))


def test_a_term_in_which_nothing_counts_leaves_the_others_alone():
    some, other = (
        small_trainer(task, REGRESSION, count=3) for task in (NothingCountsInOneTerm, RegressionTask)
    )
    assert some.run_virtual_epoch()["train_loss"] == other.run_virtual_epoch()["train_loss"]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e18])
def test_the_norm_of_all_gradients_is_that_of_torch(scale):
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.zeros(size)) for size in ((3, 4), (5,), ())]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter) * scale
    expected = torch.nn.utils.get_total_norm([p.grad for p in parameters])
    found = Precision("fp32", CPU).step(torch.optim.SGD(parameters, lr=0.1), None)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert all(parameter.grad is None for parameter in parameters)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])  # the square of the last is not finite
def test_one_bad_number_in_one_of_many_gradients_makes_the_norm_bad(bad):
    parameters = [torch.nn.Parameter(torch.zeros(4)) for _ in range(3)]
    for parameter in parameters:
        parameter.grad = torch.ones(4)
    parameters[1].grad[2] = bad
    assert not math.isfinite(Precision("fp32", CPU).step(torch.optim.SGD(parameters, lr=0.1), None))


def test_without_any_gradient_the_norm_is_0():
    parameter = torch.nn.Parameter(torch.zeros(4))
    assert Precision("fp32", CPU).step(torch.optim.SGD([parameter], lr=0.1), None) == 0.0


def test_steps_that_are_kept_are_packed_and_found_again():
    kept, at_once = Progress(CPU), Progress(CPU)
    kept._look_at_once = False
    for step in range(1100):
        for progress in (kept, at_once):
            progress.add(step, torch.tensor(step / 7.0), torch.tensor(1.0))
    kept.raise_if_diverged()
    assert kept.mean_loss() == at_once.mean_loss()
    kept.add(1100, torch.tensor(1.0), torch.tensor(math.nan))
    kept.add(1101, torch.tensor(math.nan), torch.tensor(math.nan))
    with pytest.raises(DivergedError, match="step 1100: loss 1, gradient norm nan"):
        kept.raise_if_diverged()
