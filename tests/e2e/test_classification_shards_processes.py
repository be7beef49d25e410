"""Classification from shards: as from the same images in memory, exact with workers, wrong samples named."""

from __future__ import annotations

import multiprocessing

import numpy as np
from shard_data import png
from small_trials import assert_identical, everything, run, segmentation_plan

from trainables.session import TrialSession
from trainables.shards import ShardWriter


def pictures(folder, num_train=20, num_valid=6, side=8):
    """Shards of grey levels with noise; the class says how bright."""
    rng = np.random.default_rng(0)
    for part, count in (("train", num_train), ("valid", num_valid)):
        with ShardWriter(folder, part, per_shard=6) as writer:
            for number in range(count):
                pixels = rng.integers(0, 60, (side, side, 3)) + 90 * (number % 3)
                content = {"png": png(pixels.astype(np.uint8)), "cls": str(number % 3).encode()}
                writer.write(f"{part}{number:03d}", content)
    return folder


def trial(root, **data):
    shards = {"source": "shards", "root": str(root), "train": "train-*.tar", "valid": "valid-*.tar"}
    return {
        "data": {**shards, "class_names": ["dark", "middle", "bright"], "shuffle": 8, **data},
        "model": {"name": "cnn", "width": 4},
        "augment": {"horizontal_flip": 0.5},
        "loss": {"mixup": 0.2},
        "batch_size": 4,
    }


def plan(folder, root, **data):
    return segmentation_plan(
        folder,
        task="trainables.classification.task:ClassificationTask",
        options=trial(root, **data),
        unit="epochs",
        count=1,
        num_virtual_epochs=2,
        metric="accuracy",
    )


def test_a_trial_resumes_bit_for_bit_and_is_the_same_with_a_worker(tmp_path):
    root = pictures(tmp_path / "data")
    whole = run(plan(tmp_path / "whole", root))
    assert [record["samples"] for record in whole.history] == [20, 40]
    begun = TrialSession(plan(tmp_path / "begun", root), None)
    begun.next_report()
    begun.close()
    assert_identical(everything(run(plan(tmp_path / "begun", root))), everything(whole))
    with_worker = run(plan(tmp_path / "worker", root, workers=1))
    with_worker.trainer.stream.close()
    losses = [[record["train_loss"] for record in session.history] for session in (with_worker, whole)]
    assert losses[0] == losses[1]
    assert multiprocessing.active_children() == []
