"""The problems whose learning curves are recorded, and how a recorded table is read.

A table holds the validation metric after each virtual epoch of some hundred configurations from one space,
all trained to full length by this project's own trainer. Half of them are drawn at random, half near the best
tenth of these: a search that narrows in finds curves of its own there, not the same one again and again.
`record_curves.py` makes the files under `benchmarks/efficiency/tables/`; `simulate.py` replays them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from search.space.domains import Choice, Fixed, Integer, Real
from search.space.parse import parse_space
from search.space.space import Space

FOLDER = Path(__file__).with_name("tables")
LENGTH = 27
"""Virtual epochs of a full training."""

_ADAMW_OR_SGD = {
    "choice": [
        {
            "name": "adamw",
            "lr": {"loguniform": [1e-5, 1.0]},
            "weight_decay": {"loguniform": [1e-6, 1.0]},
        },
        {"name": "sgd", "lr": {"loguniform": [1e-4, 10.0]}, "momentum": {"uniform": [0.0, 0.99]}},
    ]
}


@dataclass(frozen=True)
class Problem:
    """What is trained for one table: the same words as in a tune-search configuration."""

    name: str
    task: str
    metric: str
    mode: Literal["max", "min"]
    trial: Mapping[str, Any]
    steps: int
    """Optimizer steps of a virtual epoch."""
    num_random: int
    """Configurations drawn at random; as many are drawn near the best of them."""
    held_out: bool = False
    """Nothing was tuned on this table."""
    worst: float | None = None
    """Stands for a value that is worse or is no number, as of a training that diverged."""

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.npz"


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(
            "digits_mlp",
            "classification",
            "accuracy",
            "max",
            {
                "data": {"source": "csv", "path": "digits.csv", "target": "digit"},
                "model": {
                    "name": "mlp",
                    "width": {"choice": [16, 32, 64, 128]},
                    "depth": {"choice": [1, 2, 3]},
                    "dropout": {"uniform": [0.0, 0.5]},
                },
                "optimizer": _ADAMW_OR_SGD,
                "lr_schedule": {"name": {"choice": ["constant", "cosine"]}},
                "batch_size": {"choice": [8, 16, 32, 64]},
            },
            steps=20,
            num_random=1000,
            worst=0.1,
        ),
        Problem(
            "digits_segmentation",
            "segmentation",
            "miou",
            "max",
            {
                "data": {"source": "digits", "size": 32, "num_train": 512, "num_valid": 32},
                "model": {"name": "unet", "width": {"choice": [4, 6, 8]}, "depth": {"choice": [1, 2]}},
                "loss": {"dice": {"uniform": [0.0, 1.0]}},
                "optimizer": _ADAMW_OR_SGD,
                "batch_size": {"choice": [4, 8]},
            },
            steps=8,
            num_random=250,
            worst=0.0,
        ),
        Problem(
            "diabetes_mlp",
            "regression",
            "rmse",
            "min",
            {
                "data": {"source": "diabetes"},
                "model": {
                    "name": "mlp",
                    "width": {"choice": [8, 16, 32, 64, 128]},
                    "depth": {"choice": [1, 2, 3]},
                    "dropout": {"uniform": [0.0, 0.5]},
                    "normalization": {"choice": ["none", "batch"]},
                },
                "loss": {"choice": [{"name": "mse"}, {"name": "huber", "delta": {"loguniform": [0.1, 3.0]}}]},
                "optimizer": {
                    "name": "adamw",
                    "lr": {"loguniform": [1e-5, 1.0]},
                    "weight_decay": {"loguniform": [1e-5, 10.0]},
                },
                "batch_size": {"choice": [8, 16, 32]},
            },
            steps=20,
            num_random=400,
            worst=85.0,
        ),
        Problem(
            "digits_cnn",
            "classification",
            "valid_loss",
            "min",
            {
                "data": {"source": "digits"},
                "model": {"name": "cnn", "width": {"choice": [4, 8]}, "depth": {"choice": [1, 2]}},
                "loss": {"mixup": {"choice": [0.0, 0.2]}},
                "augment": {"shift": {"choice": [0, 1]}},
                "optimizer": _ADAMW_OR_SGD,
                "lr_schedule": {"name": {"choice": ["constant", "cosine", "polynomial"]}},
                "batch_size": {"choice": [8, 16, 32]},
            },
            steps=10,
            num_random=300,
            held_out=True,
            worst=2.5,
        ),
        Problem(
            "cancer_mlp",
            "classification",
            "valid_loss",
            "min",
            {
                "data": {"source": "breast_cancer"},
                "model": {
                    "name": "mlp",
                    "width": {"choice": [8, 16, 32, 64]},
                    "depth": {"choice": [1, 2, 3]},
                    "dropout": {"uniform": [0.0, 0.6]},
                },
                "optimizer": _ADAMW_OR_SGD,
                "batch_size": {"choice": [4, 8, 16, 32]},
            },
            steps=12,
            num_random=500,
            held_out=True,
            worst=0.75,
        ),
    )
}


class Table:
    """Recorded curves of one problem, looked up by parameters.

    A configuration that was not recorded has the curve of the nearest recorded one, and no two trials of a
    search have the same: another training near the best is another training, not that one again. Near is by
    Euclidean distance over the ranges, each scaled to 0 .. 1 (logarithmically where it is drawn so), and the
    choices with half that weight, numbers by their place and others as equal or not. Where a choice decides
    which parameters there are (adamw or sgd), only curves of the same option count.
    """

    def __init__(self, problem: Problem) -> None:
        with np.load(problem.file) as file:
            self.params: list[dict[str, Any]] = json.loads(str(file["params"]))
            raw = file["values"].astype(np.float64)
        self.problem = problem
        self.values = bounded(raw, problem)
        """The metric: float64 [configurations, virtual epochs]."""
        self._groups: dict[tuple[Any, ...], list[int]] = {}
        for row, params in enumerate(self.params):
            self._groups.setdefault(self._branch(params), []).append(row)
        self._points = np.stack([self._numbers(params) for params in self.params])

    @cached_property
    def space(self) -> Space:
        return parse_space(self.problem.trial)

    @property
    def sign(self) -> float:
        return 1.0 if self.problem.mode == "max" else -1.0

    @cached_property
    def best(self) -> float:
        """What one in a hundred configurations reaches: the very best is luck where values are noisy."""
        return self._share(self.values, 0.99)

    @cached_property
    def median(self) -> float:
        """What half of the configurations drawn at random reach."""
        return self._share(self.values[: self.problem.num_random], 0.5)

    def _share(self, values: np.ndarray, share: float) -> float:
        return self.sign * float(np.quantile((self.sign * values).max(1), share))

    def regret(self, value: float) -> float:
        """What is lost against the best, in percent of the way from the median to it; 0 if it is no worse."""
        return max(0.0, 100 * (self.best - value) / (self.best - self.median))

    def row(self, params: Mapping[str, Any], taken: Collection[int] = ()) -> int:
        """The configuration whose curve these parameters have, of those that are not taken."""
        branch = self._groups[self._branch(params)]
        candidates = np.asarray([row for row in branch if row not in taken] or branch)
        distance = np.square(self._points[candidates] - self._numbers(params)).sum(1)
        return int(candidates[distance.argmin()])

    @cached_property
    def domains(self) -> list[tuple[Real | Integer | Choice, str]]:
        """Every domain, and the options that it depends on as text."""
        nodes = self.space.root.walk()
        return [(node, condition) for node, condition in nodes if isinstance(node, Real | Integer | Choice)]

    def _branch(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(params.get(d.name) for d, _ in self.domains if _branches(d))

    def _numbers(self, params: Mapping[str, Any]) -> np.ndarray:
        parts = [_place(d, params.get(d.name)) for d, _ in self.domains if not _branches(d)]
        return np.concatenate(parts)


def _branches(domain: Real | Integer | Choice) -> bool:
    return isinstance(domain, Choice) and any(not isinstance(o.node, Fixed) for o in domain.options)


def _place(domain: Real | Integer | Choice, value: Any) -> list[float]:
    """A parameter as coordinates; one that is not there lies at the origin."""
    if isinstance(domain, Choice):
        index, count = domain.labels.index(value), len(domain.options)
        if all(isinstance(label, int | float) for label in domain.labels):
            return [0.5 * index / max(1, count - 1)]
        return [0.5 / np.sqrt(2) * (index == place) for place in range(count)]
    if value is None:
        return [0.0]
    low, high, value = float(domain.low), float(domain.high), float(value)
    if domain.kind.startswith("log"):
        low, high, value = np.log(low), np.log(high), np.log(value)
    return [(value - low) / (high - low)]


def bounded(raw: np.ndarray, problem: Problem) -> np.ndarray:
    """Values that are no number, or worse than the worst that counts, are that worst."""
    assert problem.worst is not None
    values = np.where(np.isfinite(raw), raw, problem.worst)
    return np.maximum(values, problem.worst) if problem.mode == "max" else np.minimum(values, problem.worst)
