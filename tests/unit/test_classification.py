"""The classification task: its data, loss, metrics and networks, against references and by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from class_tasks import TABLE, csv_task, make_task
from pydantic import ValidationError
from small_trials import assert_identical, everything, run, segmentation_plan, small_trainer, timeless

from search.config.stages import load_config
from search.errors import ConfigError
from trainables.classification.mixup import ClassificationSource
from trainables.classification.options import AugmentOptions, ClassificationOptions
from trainables.classification.task import ClassificationTask
from trainables.images.samples import StackedSamples
from trainables.networks.cnn import CNN
from trainables.networks.mlp import MLP
from trainables.networks.resnet import ResNet

# Data


def test_digits_are_split_by_class_and_normalized_by_the_training_images() -> None:
    task = make_task()
    images, labels = task.train_data().batch(np.arange(len(task.train_data())), None)
    assert images.shape == (len(labels), 1, 8, 8)
    assert len(images) + len(task.valid_data()) == 1797
    assert abs(float(images.mean())) < 1e-4
    assert abs(float(images.std()) - 1.0) < 1e-3
    of_valid = task.valid_data().batch(np.arange(len(task.valid_data())), None)[1]
    np.testing.assert_allclose(labels.bincount() / 4, of_valid.bincount(), atol=2)
    other = make_task({"data": {"source": "digits", "split_seed": 1}})
    assert not torch.equal(other.valid_data().batch(np.arange(350), None)[1], of_valid[:350])


def test_classes_of_a_csv_are_in_the_order_of_their_numbers_or_names(tmp_path: Path) -> None:
    numbers = csv_task(tmp_path, "a,y\n" + "".join(f"{n},{n % 3 * 5}\n" for n in range(30)))
    assert numbers.class_names == ("0", "5", "10")
    texts = csv_task(tmp_path, "a,y\n" + "".join(f"{n},{'yes' if n % 3 else 'no'}\n" for n in range(30)))
    assert texts.class_names == ("no", "yes")
    rows, labels = texts.train_data().batch(np.arange(24), None)
    assert (rows.shape, rows.dtype, labels.dtype) == ((24, 1), torch.float32, torch.int64)
    assert labels.tolist().count(0) == 8
    preprocessing = texts.preprocessing()
    assert preprocessing["class_names"] == ["no", "yes"]
    assert [column["name"] for column in preprocessing["columns"]] == ["a"]


def test_a_class_that_only_validation_has_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "valid.csv").write_text("a,y\n1,x\n2,z\n")
    with pytest.raises(
        ValueError,
        match=r"valid\.csv:3: column 'y': received 'z', which no training row has; must be one of their 2",
    ):
        csv_task(tmp_path, "a,y\n1,x\n2,x\n3,w\n4,w\n", valid_path=str(tmp_path / "valid.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,x\n2,\n3,x\n4,x\n", r"data\.csv:3: column 'y': is empty; every row must have a target"),
        ("a,y\n1,x\n2,x\n3,x\n", "holds 'x' only; a target must have at least two classes"),
        (
            "a,y\n" + "".join(f"{n % 7},{n / 7:.2f}\n" for n in range(40)),
            "use task: regression for a quantity",
        ),
        ("a,y\n1,x\n2,z\n", "every class has a single sample"),
        ("a,y\n1,x\n", "has 1 row; training and validation need at least one each"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        csv_task(tmp_path, text)


# Networks


@pytest.mark.parametrize("side", [1, 7, 8, 40])
@pytest.mark.parametrize(
    "model",
    [
        CNN(in_channels=3, num_classes=5, width=4, depth=3),
        ResNet(in_channels=3, num_classes=5, width=4, stages=3, blocks=2),
        ResNet(in_channels=3, num_classes=5, width=4, stages=2, stem="large"),
    ],
    ids=["cnn", "resnet", "large"],
)
def test_image_networks_take_any_size_and_name_each_parameter_once(model: Any, side: int) -> None:
    images = torch.randn(1, 3, side, side)
    assert model.train()(images).shape == (1, 5)
    named = [id(p) for layer in model.layers() for part in layer for p in part.parameters()]
    assert sorted(named) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
def test_a_perceptron_trains_on_one_row(normalization: Any) -> None:
    model = MLP(in_features=3, out_features=2, width=4, depth=2, normalization=normalization)
    model(torch.randn(1, 3)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    named = [id(p) for layer in model.layers() for part in layer for p in part.parameters()]
    assert sorted(named) == sorted(id(p) for p in model.parameters())


def test_batch_normalization_is_that_of_torch_for_more_than_one_row() -> None:
    model = MLP(in_features=3, out_features=2, width=4, depth=1, normalization="batch")
    plain = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    )
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    rows = torch.randn(5, 3)
    torch.testing.assert_close(model(rows), plain(rows))
    torch.testing.assert_close(model.eval()(rows), plain.eval()(rows))


# Trials

MIXED = {
    "data": {"source": "digits"},
    "model": {"name": "resnet", "width": 4, "stages": 2, "dropout": 0.2},
    "loss": {"mixup": 0.4, "class_weights": "balanced", "label_smoothing": 0.1},
    "augment": {"shift": 1, "horizontal_flip": 0.5},
    "optimizer": {"name": "adamw", "lr": 0.02, "layer_decay": 0.8},
    "lr_schedule": {"name": "cosine", "warmup": 0.1},
    "batch_size": 6,
    "accumulate": 2,
    "ema": 0.9,
    "seed": 3,
}


def test_a_trial_with_mixup_resumed_in_new_sessions_is_the_uninterrupted_one(tmp_path: Path) -> None:
    task = "trainables.classification.task:ClassificationTask"
    fields: dict[str, Any] = {"task": task, "options": MIXED, "metric": "accuracy"}
    whole = run(segmentation_plan(tmp_path / "whole", **fields))
    assert len({record["train_loss"] for record in whole.history}) == 4
    for reported, point in enumerate((1, 2, 3)):  # killed at each: not closed
        run(segmentation_plan(tmp_path / "cut", reported=reported, **fields), point)
    resumed = run(segmentation_plan(tmp_path / "cut", reported=3, **fields))
    assert_identical(everything(resumed), everything(whole))
    assert timeless(resumed.history)[-1]["step"] == 20


def test_a_digits_trial_learns() -> None:
    trainer = small_trainer(ClassificationTask, {"model": {"name": "cnn", "width": 8}}, count=60)
    assert trainer.run_virtual_epoch()["accuracy"] > 0.7


def test_whole_epochs_may_end_in_a_batch_of_one_row() -> None:
    options = {**TABLE, "model": {"name": "mlp", "width": 4, "normalization": "batch"}, "batch_size": 16}
    num_train = small_trainer(ClassificationTask, options).virtual_epochs.epoch_samples
    assert num_train is not None
    trainer = small_trainer(
        ClassificationTask, {**options, "batch_size": num_train - 1}, unit="epochs", count=1
    )
    assert np.isfinite(trainer.run_virtual_epoch()["train_loss"])


# Options


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"data": {"source": "csv", "path": "x", "target": "y"}}, "use model.name mlp"),
        ({"model": {"name": "mlp"}}, "use model.name cnn or resnet"),
        ({**TABLE, "augment": {"shift": 1}}, "augment applies to images"),
        ({"data": {"source": "csv", "path": "x"}}, "data.csv.target"),
        ({"model": {"name": "resnet", "depth": 2}}, "model.resnet.depth"),
        ({"loss": {"mixup": -1}}, "greater than or equal to 0"),
    ],
)
def test_wrong_options_are_refused_with_their_place(section: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ClassificationOptions.model_validate(section)
    found = str(caught.value) + " ".join(".".join(map(str, error["loc"])) for error in caught.value.errors())
    assert message in found


def test_mistakes_in_a_file_are_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "task: classification\n"
        "objective: {metric: accuracy, mode: max}\n"
        "virtual_epoch: {steps: 5}\n"
        "trial:\n"
        "  data: {source: breast_cancer}\n"
        "  model:\n"
        "    name: {choice: [mlp, resnet]}\n"
        "  loss:\n"
        "    label_smothing: 0.1\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    told = [f"{problem.where}: {problem.path}: {problem.message}" for problem in caught.value.problems]
    assert len(told) == 2
    assert "c.yaml:6: trial.model: model.name is resnet, which needs images" in told[0]
    assert "c.yaml:9: trial.loss.label_smothing: unknown key 'label_smothing'" in told[1]
    assert "'label_smoothing'" in told[1]


def test_augmentation_is_off_by_default() -> None:
    samples = StackedSamples(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64))
    assert ClassificationSource(samples, np.zeros(1), np.ones(1)).num_randoms == 0
    assert AugmentOptions() == ClassificationOptions().augment
