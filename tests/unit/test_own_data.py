"""Data sets of one's own by their path: what is trained on, and every mistake a message."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import own_parts
import pytest
import torch
from pydantic import ValidationError

from trainables.build import build_trainer, load_arrays
from trainables.classification.task import ClassificationTask
from trainables.data.source import as_source
from trainables.imported_options import ImportedData
from trainables.segmentation.task import SegmentationTask
from trainables.supervised.datasets import OwnSource
from trainables.task import Task
from trainables.training.trainer import Trainer

DATA = {"source": "own_parts:Streets", "class_names": ["dark", "light"]}


def trainer_of(task: type[Task], data: dict[str, Any], **trial: Any) -> Trainer:
    options = task.Options.parse({"data": data, "batch_size": 4, **trial})
    arrays = load_arrays(task, options)
    device = torch.device("cpu")
    return build_trainer(task, options, arrays, unit="steps", count=3, num_virtual_epochs=20, device=device)


def test_segmentation_trains_and_validates_on_what_the_data_set_gives() -> None:
    trial = {"model": {"name": "unet", "width": 4, "depth": 1}, "optimizer": {"lr": 0.03}}
    trainer = trainer_of(SegmentationTask, DATA, **trial)
    values = [trainer.run_virtual_epoch()["miou"] for _ in range(20)]
    assert values[-1] > max(0.7, values[0])  # a pixel's class is the sign of its first channel
    valid = as_source(trainer.task.valid_data())
    images, masks = valid.batch(np.arange(6), None)
    expected = [own_parts.Streets("valid")[index] for index in range(6)]
    assert torch.equal(images, torch.stack([image for image, _ in expected]))
    assert torch.equal(masks, torch.stack([mask for _, mask in expected]))
    assert trainer.task.preprocessing()["class_names"] == ["dark", "light"]
    assert trainer.task.data_picture() is not None
    assert trainer.task.images(trainer.model, torch.device("cpu"))["validation"].ndim == 3


def test_classification_does_too() -> None:
    trainer = trainer_of(ClassificationTask, {**DATA, "item": "class"}, model={"name": "cnn"})
    assert 0 <= trainer.run_virtual_epoch()["accuracy"] <= 1
    assert trainer.task.preprocessing()["class_names"] == ["dark", "light"]


def test_its_augmentation_is_a_function_of_seed_and_sample_number() -> None:
    source = OwnSource(ImportedData(**DATA), "train")
    draws = np.random.default_rng(0).random((8, source.num_randoms))
    torch.manual_seed(1)
    images, masks = source.batch(np.arange(8), draws)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    part = pickle.loads(pickle.dumps(source)).batch(np.arange(3, 5), draws[3:5])
    assert torch.equal(part[0], images[3:5])
    assert torch.equal(part[1], masks[3:5])
    source.batch(np.arange(8), draws)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(source.batch(np.arange(8), 1 - draws)[0], images)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"item": "bytes"}, "own_parts:Streets[0] of train has inputs of torch.uint8; must be float32"),
        ({"item": "float_mask"}, "has a target of torch.float32; must be whole numbers"),
        ({"item": "mapping"}, "own_parts:Streets[0] of train is a dict; must be (inputs, target)"),
        (
            {"item": "three"},
            "of train has class 2, and there are 2 classes, 0 to 1, and 255 for what",
        ),
        ({"item": "negative"}, "own_parts:Streets[0] of train has class -1, and there are 2 classes"),
        (
            {"item": "channels_last"},
            "has inputs of [8, 8, 3]; channels come first: transpose",
        ),
        ({"item": "mask_channel"}, "and a target of [1, 8, 8]; must be a mask [H, W] of the inputs' size"),
        ({"item": "class"}, "and a target of []; must be a mask [H, W]"),
        ({"item": "nan"}, "own_parts:Streets[0] of train has inputs that are NaN or infinite"),
        (
            {"item": "picture"},
            "own_parts:Streets[0] of train has inputs of type Image; must be a tensor",
        ),
        ({"item": "none"}, "own_parts:Streets[0] of train raised KeyError: 'none'"),
        ({"number": 0}, 'own_parts:Streets with split="train" has no samples'),
        (
            {"source": "own_parts:Unsized"},
            "returned an Unsized; must be a map-style data set",
        ),
    ],
)
def test_a_mistake_in_a_data_set_is_told_with_the_sample(data: dict[str, Any], message: str) -> None:
    options = SegmentationTask.Options.parse({"data": {**DATA, **data}})
    with pytest.raises(ValueError, match=re.escape(message)):
        load_arrays(SegmentationTask, options)


def test_samples_of_several_sizes_are_told_when_they_meet_in_a_batch() -> None:
    source = OwnSource(ImportedData(**DATA, item="sizes"), "train")
    with pytest.raises(ValueError, match=r"gives inputs of \[3, 4, 8\], \[3, 5, 8\] in one batch"):
        source.batch(np.arange(2), None)


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"data": {"source": "own_parts:Streets"}}, "needs class_names, or num_classes"),
        ({"data": {**DATA, "num_classes": 3}}, "num_classes is 3, and there are 2 class_names"),
        ({"data": DATA, "augment": {"crop": 4}}, "augment is the data set's own"),
        ({"data": DATA, "loss": {"class_weights": "median_frequency"}}, "does not count its classes"),
    ],
)
def test_options_that_need_data_of_this_program_are_refused(trial: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        SegmentationTask.Options.parse(trial)
