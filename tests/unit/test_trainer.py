"""The training loop: against the large batch, against a plain loop, and without the articles' faults."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from small_trials import CPU, SEGMENTATION, assert_identical, small_trainer
from tiny_tasks import DigitsTask
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from trainables.optim.precision import Precision
from trainables.options import TrialOptions
from trainables.progress import DivergedError, Progress
from trainables.segmentation.task import SegmentationTask
from trainables.task import Task

SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9}


class LinearTask(Task):
    """Ten samples of three numbers, one target; plain enough to be done by hand."""

    def train_data(self):
        rng = np.random.default_rng(0)
        return rng.standard_normal((10, 3)).astype(np.float32), rng.standard_normal(10).astype(np.float32)

    def valid_data(self):
        return self.train_data()

    def build_model(self):
        return nn.Linear(3, 1)

    def forward(self, model, batch):
        return model(batch[0])[:, 0]

    def loss(self, outputs, batch):
        return F.mse_loss(outputs, batch[1])

    def metrics(self):
        return NoMetrics()


class NoMetrics:
    def update(self, outputs, batch): ...

    def compute(self):
        return {"answer": 42}


class WatchedTask(LinearTask):
    """Notes the state of the model at every forward pass of the training."""

    def __init__(self, options, arrays):
        super().__init__(options, arrays)
        self.weights, self.training, self.gradients, self.sizes = [], [], [], []

    def forward(self, model, batch):
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            self.weights.append(model.weight.detach().clone())
            self.training.append(model.training)
            self.gradients.append(model.weight.grad is not None)
            self.sizes.append(len(batch[0]))
        return super().forward(model, batch)


class IgnoringTask(LinearTask):
    """Classes 0 and 1, and -100 where there is none: six of ten samples."""

    def train_data(self):
        x, y = super().train_data()
        return x, np.where(np.arange(10) < 6, -100, y > 0)

    def build_model(self):
        return nn.Linear(3, 2)

    def forward(self, model, batch):
        return model(batch[0])

    def loss(self, outputs, batch):
        return F.cross_entropy(outputs, batch[1])

    def loss_weight(self, batch):
        return (batch[1] != -100).sum().float()


class LoaderTask(DigitsTask):
    """The training data as a shuffled DataLoader of the user's own."""

    def train_data(self):
        x, y = (torch.from_numpy(part[:100]) for part in super().train_data())
        return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)


def train_steps(trainer, num_virtual_epochs=1):
    for _ in range(num_virtual_epochs):
        trainer.run_virtual_epoch()
    return {name: tensor.clone() for name, tensor in trainer.weights().items()}


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


# Virtual epochs


@pytest.mark.parametrize(("batch_size", "accumulate"), [(2, 1), (3, 1), (4, 2), (3, 3), (10, 4)])
def test_one_epoch_draws_every_sample_exactly_once_in_each_virtual_epoch(batch_size, accumulate):
    options = {"batch_size": batch_size, "accumulate": accumulate}
    trainer = small_trainer(WatchedTask, options, unit="epochs", count=1)
    drawn, draw = [], trainer.stream.next_step

    class Recording:
        def next_step(self, number):
            step = draw(number)
            drawn.extend(float(value) for batch in step for value in batch[1])
            return step

        epochs = 0.0

    trainer.stream = Recording()
    targets = sorted(float(y) for y in trainer.task.train_data()[1])
    for number in range(1, 4):
        trainer.run_virtual_epoch()
        assert sorted(drawn) == targets
        assert trainer.num_samples == 10 * number
        drawn.clear()
    assert trainer.counters.num_steps == 3 * math.ceil(10 / (batch_size * accumulate))


def test_samples_end_without_drift():
    trainer = small_trainer(LinearTask, {"batch_size": 2, "accumulate": 2}, unit="samples", count=10)
    ends = []
    for _ in range(6):
        trainer.run_virtual_epoch()
        ends.append(trainer.counters.num_steps)
        assert trainer.num_samples == trainer.stream.position
    assert ends == [3, 5, 8, 10, 13, 15]


def test_steps_are_counted_whatever_the_length_of_the_data():
    trainer = small_trainer(WatchedTask, {"batch_size": 4, "accumulate": 3}, count=5)
    metrics = trainer.run_virtual_epoch()
    assert (trainer.counters.num_steps, trainer.num_samples, len(trainer.task.sizes)) == (5, 60, 15)
    assert set(trainer.task.sizes) == {4}
    assert metrics["epoch"] == 6.0
    assert trainer.run_virtual_epoch()["epoch"] == 12.0


def test_epochs_over_a_users_loader_with_accumulation_draw_each_batch_once():
    options = {"batch_size": 16, "accumulate": 3}
    trainer = small_trainer(LoaderTask, options, unit="epochs", count=1)
    for number in range(1, 6):
        assert trainer.run_virtual_epoch()["epoch"] == number
        assert trainer.stream.state_dict()["batches"] == 7 * number
    assert trainer.counters.num_steps == 5 * 3  # of 3, 3 and 1 batches


def test_epochs_over_a_loader_of_unknown_length_are_refused():
    class Claimed(IterableDataset):
        def __iter__(self):
            return iter([])

        def __len__(self):
            return 100

    class ClaimedTask(LinearTask):
        def train_data(self):
            return DataLoader(Claimed(), batch_size=4)

    with pytest.raises(ValueError, match=r"\{epochs: 1\} but the training data has no length"):
        small_trainer(ClaimedTask, {"batch_size": 4}, unit="epochs", count=1)


def test_a_virtual_epoch_reports_rates_of_learning_and_of_work():
    options = {"batch_size": 2, "lr_schedule": {"name": "linear"}, "optimizer": {"name": "sgd", "lr": 0.5}}
    trainer = small_trainer(LinearTask, options, count=5, num_virtual_epochs=2)
    first, second = trainer.run_virtual_epoch(), trainer.run_virtual_epoch()
    assert first["lr"] == pytest.approx(0.5 * 5 / 9)
    assert second["lr"] == 0.0
    assert first["samples_per_second"] > 0
    assert first["answer"] == 42.0
    assert isinstance(first["answer"], float)
    assert trainer.counters.seconds > 0


def test_train_loss_is_the_mean_over_the_steps():
    trainer = small_trainer(LinearTask, {"batch_size": 5, "optimizer": {"name": "sgd", "lr": 1e-12}}, count=2)
    assert trainer.run_virtual_epoch()["train_loss"] == pytest.approx(
        trainer.validate()["valid_loss"], rel=1e-5
    )


@pytest.mark.parametrize("at_once", [True, False])
def test_in_train_loss_a_smaller_last_step_of_an_epoch_counts_by_its_samples(at_once, monkeypatch):
    """Ten samples in steps of 4, 4 and 2: the mean over the samples, not over the steps."""
    created = Progress.__init__

    def create(progress, device):
        created(progress, device)
        progress._look_at_once = at_once

    monkeypatch.setattr(Progress, "__init__", create)
    options = {"batch_size": 2, "accumulate": 2, "optimizer": {"name": "sgd", "lr": 1e-12}}
    trainer = small_trainer(LinearTask, options, unit="epochs", count=2)
    train_loss = trainer.run_virtual_epoch()["train_loss"]
    assert train_loss == pytest.approx(trainer.validate()["valid_loss"], rel=1e-6)


def test_the_gradient_is_clipped_to_its_norm():
    deltas = []
    for clip_norm in (None, 1e-3):
        options = {"batch_size": 10, "clip_norm": clip_norm, "optimizer": {"name": "sgd", "lr": 1.0}}
        trainer = small_trainer(LinearTask, options, count=1)
        before = {name: tensor.clone() for name, tensor in trainer.weights().items()}
        after = train_steps(trainer)
        deltas.append(torch.cat([(after[name] - before[name]).flatten() for name in after]))
    assert deltas[0].norm() > 0.1
    assert deltas[1].norm() == pytest.approx(1e-3, rel=1e-3)
    torch.testing.assert_close(
        deltas[1] / deltas[1].norm(), deltas[0] / deltas[0].norm(), rtol=1e-3, atol=1e-4
    )


def test_the_averaged_weights_are_validated():
    trainer = small_trainer(LinearTask, {"batch_size": 5, "ema": 0.99}, count=4)
    metrics = trainer.run_virtual_epoch()
    assert trainer.evaluated_model is trainer.average.model
    trainer.average = None
    assert trainer.validate()["valid_loss"] != metrics["valid_loss"]


def test_empty_validation_data_is_refused():
    class Unvalidated(LinearTask):
        def valid_data(self):
            return np.zeros((0, 3), np.float32), np.zeros(0, np.float32)

    with pytest.raises(ValueError, match=r"the validation data \(ArraySource\) is empty"):
        small_trainer(Unvalidated, {"batch_size": 2})


def test_training_and_validation_data_together():
    trainer = small_trainer(DigitsTask, {}, unit="epochs", count=1, with_validation_data=True)
    assert trainer.virtual_epochs.epoch_samples == 1797
    targets = torch.cat([batch[1] for _ in range(113) for batch in trainer.stream.next_step(1)])
    everything = torch.from_numpy(trainer.task.arrays["y"])
    assert torch.equal(targets.bincount(), everything.bincount())


def test_segmentation_trains_on_crops_of_the_validation_images_too():
    trainer = small_trainer(
        SegmentationTask,
        {**SEGMENTATION, "augment": {"crop": 12}},
        unit="epochs",
        count=1,
        with_validation_data=True,
    )
    assert trainer.virtual_epochs.epoch_samples == 50
    trainer.run_virtual_epoch()
    assert len(trainer.valid_source) == 10
    assert trainer.valid_source.num_randoms == 0


# Divergence


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


class Scaled(Precision):
    """Loss scaling as under fp16, on a CPU."""

    def __init__(self, scale):
        super().__init__("fp32", CPU)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=scale)


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


# Saved state


def test_saved_parts_are_declared_and_both_differences_are_reported():
    trainer = small_trainer(LinearTask, {"batch_size": 2, "ema": 0.9})
    state = trainer.state_dict()
    assert set(state) == {"optimizer", "scaler", "average", "stream", "random", "counters"}
    del state["average"]
    state["adversary"] = {}
    with pytest.raises(ValueError, match=r"lacks \['average'\] and has \['adversary'\]"):
        trainer.load(trainer.weights(), state)


def test_weights_of_another_model_are_refused():
    trainer = small_trainer(LinearTask, {"batch_size": 2})
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*weight.*Unexpected key.*kernel"):
        trainer.load({"bias": torch.zeros(1), "kernel": torch.zeros(1, 3)}, trainer.state_dict())


def test_a_state_saved_without_loss_scaling_is_loaded_where_there_is_some():
    trainer = small_trainer(LinearTask, {"batch_size": 2})
    trainer.run_virtual_epoch()
    weights, state = copy.deepcopy((dict(trainer.weights()), trainer.state_dict()))
    other = small_trainer(LinearTask, {"batch_size": 2})
    other.precision = Scaled(64.0)
    other.load(weights, state)
    assert other.precision.scaler.get_scale() == 64.0
    assert other.counters.num_steps == 5


@pytest.mark.parametrize("num_before", [1, 3])
@pytest.mark.parametrize("task_class", [DigitsTask, LoaderTask])
@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "sgd", "momentum": 0.9, "nesterov": True},
        {"name": "adamw", "weight_decay": 0.1},
        {"name": "radam"},
        {"name": "adam", "amsgrad": True, "foreach": True},
    ],
    ids=lambda optimizer: optimizer["name"],
)
def test_a_loaded_state_goes_on_exactly(optimizer, task_class, num_before):
    options = {"batch_size": 16, "accumulate": 2, "optimizer": optimizer, "ema": 0.9, "clip_norm": 1.0}
    whole = small_trainer(task_class, options, count=3)
    for _ in range(num_before):
        whole.run_virtual_epoch()
    weights, state = copy.deepcopy((dict(whole.weights()), whole.state_dict()))
    expected = whole.run_virtual_epoch()
    other = small_trainer(task_class, options, count=3)
    torch.manual_seed(123)
    other.load(weights, state)
    found = other.run_virtual_epoch()
    for name in ("train_loss", "valid_loss", "accuracy", "epoch", "lr"):
        assert found[name] == expected[name]
    other.counters.seconds = whole.counters.seconds
    assert_identical(other.state_dict(), whole.state_dict())
    assert_identical(dict(other.weights()), dict(whole.weights()))
