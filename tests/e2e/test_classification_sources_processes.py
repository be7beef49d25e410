"""Classification of images in files: beyond memory, with broken samples, and from saved data sets."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_trials import assert_identical, everything, run, segmentation_plan

from trainables.session import TrialPlan

NAMES = ("cat", "dog", "eel")


AUGMENTED = {"augment": {"horizontal_flip": 0.5, "shift": 1}, "loss": {"mixup": 0.3}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight images of each class to train on and three to validate on."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 3)):
        for level, name in enumerate(NAMES):
            folder = tmp_path / "animals" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 60, (8, 8, 3), np.uint8) + np.uint8(80 * level)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "animals"


def trial_plan(folder: Path, root: Path, **data: Any) -> TrialPlan:
    options = {
        "data": {"source": "images", "root": str(root), "max_memory": 0, **data},
        "model": {"name": "cnn", "width": 4, "depth": 1},
        **AUGMENTED,
        "batch_size": 4,
    }
    return segmentation_plan(
        folder,
        task="trainables.classification.task:ClassificationTask",
        options=options,
        metric="accuracy",
        count=4,
        num_virtual_epochs=2,
    )


def test_a_trial_is_the_same_from_memory_from_disk_and_with_a_worker(tmp_path: Path, root: Path) -> None:
    found = []
    for name, data in (("disk", {}), ("memory", {"max_memory": 2**30}), ("worker", {"workers": 1})):
        session = run(trial_plan(tmp_path / name, root, **data))
        if name == "worker":
            session.trainer.stream.close()
        found.append(everything(session))
    assert_identical(found[1], found[0])
    assert_identical(found[2], found[0])
    assert multiprocessing.active_children() == []
