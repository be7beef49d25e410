"""Small searches of several trials that keep their checkpoints, for ensembles and soups of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from in_process import search_locally
from predicted import DIGITS

from search.ensembles.candidates import candidates_of
from search.ensembles.card import Story
from search.ensembles.members import Member, measured, write_ensemble
from search.exports.export import leaving_of
from trainables.tables.read import split_rows

OBJECTIVES = {
    "segmentation": ("miou", "max"),
    "regression": ("rmse", "min"),
    "gan": ("frechet_distance", "min"),
}
LINEAR = {"name": "own_parts:Exact", "in_features": 10}
"""A network of which the mean of weights predicts the mean of predictions."""
NOISY: dict[str, Any] = {
    "model": LINEAR,
    "optimizer": {"name": "sgd", "lr": 0.1},
    "batch_size": 4,
    "seed": {"choice": [0, 1, 2, 3]},
}
"""Rows of diabetes; steps so large that the weights of different seeds lie around the best ones."""


def several(folder: Path, task: str, trial: dict[str, Any], **changes: Any) -> Path:
    """The folder of a search of each point of the grid, all trained to the end."""
    metric, mode = OBJECTIVES.get(task, ("accuracy", "max"))
    config = {
        "name": "several",
        "task": task,
        "objective": {"metric": metric, "mode": mode},
        "virtual_epoch": {"steps": 12},
        "budget": {"max_virtual_epochs": 1},
        "sampler": {"name": "grid"},
        "scheduler": {"name": "none"},
        "trial": trial,
        **changes,
    }
    return Path(search_locally(config, results=folder / "results").folder)


def all_together(run: Path, out: Path) -> Path:
    """The export of all trials of a run as an ensemble, the best one twice, whatever its value."""
    found = candidates_of(run, "--ensemble")
    members = [
        Member(
            each.label,
            1 + (each is found.best),
            leaving_of(each.checkpoint, each.config, each.data.prepared, each.data),
        )
        for each in found.found
    ]
    story = Story(method="all of them", caveat="For a test.", details={})
    write_ensemble(
        out,
        found.config,
        members,
        len(members),
        story,
        lambda: measured(members, _no_progress),
        lambda text: None,
    )
    return out


def _no_progress(text: str, done: int, of: int) -> None:
    pass


def digit_trials(**changes: Any) -> dict[str, Any]:
    """Segmentations of digits that differ in their seeds."""
    return {**DIGITS, "seed": {"choice": [0, 1, 2]}, **changes}


def rmse(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(found - truth))))


def diabetes_valid() -> tuple[np.ndarray, np.ndarray]:
    """Raw rows [N, 10] and targets [N] of the validation data of task regression."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(scaled=False)
    _, valid = split_rows(len(data.target), valid_fraction=0.2, seed=0)
    return data.data[valid], data.target[valid]
