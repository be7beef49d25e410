"""Classification from shards: as from the same images in memory, exact with workers, wrong samples named."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from shard_data import pictures, png

from trainables.build import load_arrays
from trainables.classification.options import ClassificationOptions
from trainables.classification.task import ClassificationTask
from trainables.shards import ShardWriter


def trial(root, **data):
    shards = {"source": "shards", "root": str(root), "train": "train-*.tar", "valid": "valid-*.tar"}
    return {
        "data": {**shards, "class_names": ["dark", "middle", "bright"], "shuffle": 8, **data},
        "model": {"name": "cnn", "width": 4},
        "augment": {"horizontal_flip": 0.5},
        "loss": {"mixup": 0.2},
        "batch_size": 4,
    }


def task_of(root, **data):
    options = ClassificationOptions.model_validate(trial(root, **data))
    return ClassificationTask(options, load_arrays(ClassificationTask, options))


def test_images_and_classes_are_those_of_the_shards_in_order(tmp_path):
    task = task_of(pictures(tmp_path), sample_size=5)
    source = task.valid_data()
    inputs, labels = source.batch(np.arange(6), None)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert inputs.shape == (6, 3, 8, 8)
    assert torch.equal(inputs.mean((1, 2, 3))[:3].argsort(), torch.arange(3))
    assert (len(task.train_data()), len(task.all_data())) == (20, 26)
    assert task.arrays["class_counts"].sum() == 5


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"cls": b"3"}, r"train-more-000000\.tar: x\.cls: is 3; with 3 classes it must be 0 to 2"),
        ({"cls": b"-1"}, r"x\.cls: is -1; with 3 classes"),
        ({"cls": b"dark"}, r"x\.cls: is no whole number .*'dark'"),
        ({"txt": b"1"}, r"sample x has png, txt and lacks cls"),
        ({"png": b"no picture"}, r"x\.png: is none of PNG, JPEG, TIFF, WebP and .npy"),
        (
            {"png": png(np.zeros((4, 8, 3), np.uint8))},
            r"x\.png: is 8x4, and .*train000\.png 8x8; all must",
        ),
    ],
)
def test_a_wrong_sample_is_named(tmp_path, members, message):
    root = pictures(tmp_path)
    if "txt" not in members:
        members = {"cls": b"1", **members}
    with ShardWriter(root, "train-more") as writer:
        writer.write("x", {"png": png(np.zeros((8, 8, 3), np.uint8)), **members})
    with pytest.raises(ValueError, match=message):
        task_of(root)


def test_images_of_any_size_and_kind_are_resized(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.zeros((30, 17), np.uint8)).save(file, "JPEG")
    for part in ("train", "valid"):
        with ShardWriter(tmp_path, part) as writer:
            writer.write("a", {"jpeg": file.getvalue(), "cls": b"0"})
            writer.write("b", {"png": png(np.zeros((9, 12, 3), np.uint8)), "cls": b"1"})
    task = task_of(tmp_path, resize=8, channels=1)
    assert task.train_data().batch(np.arange(2), None)[0].shape == (2, 1, 8, 8)
    assert task.preprocessing()["resize"] == 8
