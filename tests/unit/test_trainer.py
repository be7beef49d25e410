"""The training loop: virtual epochs, what it reports, and the state that it saves."""

import copy
import math

import numpy as np
import pytest
import torch
from linear_tasks import (
    LinearTask,
    LoaderTask,
    Scaled,
    WatchedTask,
    train_steps,
)
from small_trials import SEGMENTATION, assert_identical, small_trainer
from tiny_tasks import DigitsTask
from torch.utils.data import DataLoader, IterableDataset

from trainables.segmentation.task import SegmentationTask
from trainables.training.progress import Progress

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
