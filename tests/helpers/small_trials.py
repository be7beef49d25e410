"""Trials of a second or less for the tests of the training side, and ways to compare them bit for bit."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainables.build import build_trainer, load_arrays
from trainables.session import Record, TrialPlan, TrialSession
from trainables.task import Task
from trainables.training.trainer import Trainer

CPU = torch.device("cpu")
TIMES = ("seconds", "samples_per_second")

# 40 training samples and steps of 3 x 4: virtual epochs of 5 steps end in the middle of an epoch.
SEGMENTATION: dict[str, Any] = {
    "data": {"source": "digits", "size": 16, "num_train": 40, "num_valid": 10},
    "model": {"name": "unet", "width": 4, "depth": 1, "dropout": 0.3},
    "loss": {"dice": 0.5, "class_weights": "median_frequency"},
    "augment": {"crop": 16, "scale_min": 0.6, "scale_max": 1.5, "horizontal_flip": 0.5, "gamma": 0.3},
    "optimizer": {"name": "adamw", "lr": 0.02, "weight_decay": 0.01},
    "lr_schedule": {"name": "cosine", "warmup": 0.1},
    "batch_size": 4,
    "accumulate": 3,
    "clip_norm": 1.0,
    "ema": 0.9,
    "seed": 3,
}


def small_trainer(
    task_class: type[Task],
    options: Mapping[str, Any],
    *,
    unit: Any = "steps",
    count: int = 5,
    num_virtual_epochs: int = 4,
    **arguments: Any,
) -> Trainer:
    """A trainer without session and checkpoints."""
    parsed = task_class.Options.model_validate(options)
    return build_trainer(
        task_class,
        parsed,
        load_arrays(task_class, parsed),
        unit=unit,
        count=count,
        num_virtual_epochs=num_virtual_epochs,
        device=CPU,
        **arguments,
    )


def segmentation_plan(folder: Path, **changes: Any) -> TrialPlan:
    """Four virtual epochs of `SEGMENTATION`; `changes` replace fields of the plan."""
    fields: dict[str, Any] = {
        "number": 7,
        "folder": str(folder),
        "task": "trainables.segmentation.task:SegmentationTask",
        "options": SEGMENTATION,
        "unit": "steps",
        "count": 5,
        "num_virtual_epochs": 4,
        "metric": "miou",
        "mode": "max",
        **changes,
    }
    return TrialPlan(**fields)


def digits_plan(folder: Path, **changes: Any) -> TrialPlan:
    """Six virtual epochs of the perceptron of tiny_tasks."""
    fields: dict[str, Any] = {
        "task": "tiny_tasks:DigitsTask",
        "options": {"batch_size": 16},
        "count": 3,
        "num_virtual_epochs": 6,
        "metric": "accuracy",
    }
    return segmentation_plan(folder, **{**fields, **changes})


def run(plan: TrialPlan, until: int | None = None) -> TrialSession:
    """A new session, run up to virtual epoch `until`, or to the end and closed."""
    session = TrialSession(plan, None)
    while len(session.history) < (until or plan.num_virtual_epochs):
        assert "diverged" not in session.next_report()
    if until is None:
        session.close()
    return session


def timeless(records: list[Record]) -> list[Record]:
    """The records without what a clock measured."""
    return [{name: value for name, value in record.items() if name not in TIMES} for record in records]


def everything(session: TrialSession) -> dict[str, Any]:
    """All that must be equal in two runs of the same trial."""
    state = session.trainer.state_dict()
    state["counters"] = {name: value for name, value in state["counters"].items() if name not in TIMES}
    return {"weights": dict(session.trainer.weights()), "state": state, "history": timeless(session.history)}


def assert_identical(found: Any, expected: Any, path: str = "") -> None:
    """Equal in every bit, types and orders of dimensions in memory included."""
    assert type(found) is type(expected), path
    if isinstance(found, torch.Tensor):
        assert found.dtype == expected.dtype, path
        assert found.stride() == expected.stride(), path
        assert torch.equal(found, expected), path
    elif isinstance(found, Mapping):
        assert list(found) == list(expected), path
        for key in found:
            assert_identical(found[key], expected[key], f"{path}.{key}")
    elif isinstance(found, list | tuple):
        assert len(found) == len(expected), path
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_identical(one, other, f"{path}[{index}]")
    else:
        assert found == expected or (found != found and expected != expected), path


if __name__ == "__main__":  # one plan, as JSON, in a process of its own
    run(TrialPlan(**json.loads(sys.argv[1])))
