"""Small classification tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from trainables.classification.metrics import ClassificationMetrics
from trainables.classification.options import ClassificationOptions
from trainables.classification.task import ClassificationTask

TABLE = {"data": {"source": "breast_cancer"}, "model": {"name": "mlp", "width": 8}}


def make_task(options: Mapping[str, Any] | None = None) -> ClassificationTask:
    parsed = ClassificationOptions.model_validate(options or {})
    arrays = ClassificationTask.load_data(parsed)
    for array in arrays.values():
        array.flags.writeable = False  # as they come out of Ray's object store
    return ClassificationTask(parsed, arrays)


def csv_task(folder: Path, text: str, **data: Any) -> ClassificationTask:
    file = folder / "data.csv"
    file.write_text(text)
    return make_task({**TABLE, "data": {"source": "csv", "path": str(file), "target": "y", **data}})


def paint(folder: Path, classes: Mapping[str, int], size: tuple[int, int] = (8, 8)) -> None:
    """Random colour images of each class."""
    rng = np.random.default_rng(0)
    for name, number in classes.items():
        (folder / name).mkdir(parents=True)
        for index in range(number):
            Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name / f"{index}.png")


def folder_task(root: Path, **data: Any) -> ClassificationTask:
    return make_task({"data": {"source": "images", "root": str(root), **data}})


def measured(logits: torch.Tensor, labels: torch.Tensor, size: int = 37) -> ClassificationMetrics:
    metrics = ClassificationMetrics(logits.shape[1])
    for chosen in torch.arange(len(labels)).split(size):
        metrics.update(logits[chosen], (None, labels[chosen]))
    return metrics
