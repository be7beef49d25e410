"""The problems of the benchmark: what is trained, in the words of a tune-search configuration.

Six problems are there to make choices on; three are held out: nothing was chosen with a look at them.
`record_curves.py` trains random configurations of each, `surrogate.py` fits a forest to their curves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from search.space.domains import Choice, Integer, Real
from search.space.parse import parse_space
from search.space.space import Space

LENGTH = 27
"""Virtual epochs of a full training."""
NUM_REPEATED = 40
"""Configurations that are trained again with other seeds, to measure the noise."""
REPEAT_SEEDS = (1, 2, 3, 4)

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
_SCHEDULES = {
    "choice": [
        {"name": "constant"},
        {"name": "cosine", "warmup": {"uniform": [0.0, 0.3]}, "final_factor": {"uniform": [0.0, 0.2]}},
        {"name": "polynomial", "warmup": {"uniform": [0.0, 0.3]}, "power": {"loguniform": [0.5, 4.0]}},
    ]
}
_SMALL_DIGITS = {"source": "digits", "size": 32, "num_train": 512, "num_valid": 32}


@dataclass(frozen=True)
class Problem:
    """One problem: the sections of a configuration, and how much of it is recorded."""

    name: str
    task: str
    metric: str
    mode: Literal["max", "min"]
    trial: Mapping[str, Any]
    steps: int
    """Optimizer steps of a virtual epoch."""
    num_random: int
    """Configurations drawn at random that a complete recording has."""
    worst: float
    """Stands for a value that is worse or is no number, as of a training that diverged."""
    held_out: bool = False
    """Nothing was chosen with a look at it."""

    @cached_property
    def space(self) -> Space:
        return parse_space(self.trial)

    @property
    def sign(self) -> float:
        return 1.0 if self.mode == "max" else -1.0

    @cached_property
    def domains(self) -> list[tuple[Real | Integer | Choice, str]]:
        """Every domain, and the options that it depends on as text."""
        nodes = self.space.root.walk()
        return [(node, condition) for node, condition in nodes if isinstance(node, Real | Integer | Choice)]

    @property
    def num_curves(self) -> int:
        """Curves of a complete recording, repeats included."""
        return self.num_random + NUM_REPEATED * len(REPEAT_SEEDS)


_ALL = (
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
        num_random=2000,
        worst=0.1,
    ),
    Problem(
        "diabetes_mlp",  # large noise
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
        num_random=2000,
        worst=85.0,
    ),
    Problem(
        "digits_segmentation",  # sparse: few images, few of the configurations are good
        "segmentation",
        "miou",
        "max",
        {
            "data": _SMALL_DIGITS,
            "model": {"name": "unet", "width": {"choice": [4, 6, 8]}, "depth": {"choice": [1, 2]}},
            "loss": {"dice": {"uniform": [0.0, 1.0]}},
            "optimizer": _ADAMW_OR_SGD,
            "batch_size": {"choice": [4, 8]},
        },
        steps=8,
        num_random=1500,
        worst=0.0,
    ),
    Problem(
        "digits_schedules",  # curves cross late: a schedule that decays gains at its end
        "segmentation",
        "miou",
        "max",
        {
            "data": _SMALL_DIGITS,
            "model": {"name": "unet", "width": {"choice": [4, 6]}, "depth": 1},
            "loss": {"dice": {"uniform": [0.0, 1.0]}},
            "optimizer": {
                "name": "adamw",
                "lr": {"loguniform": [1e-3, 1.0]},
                "weight_decay": {"loguniform": [1e-6, 1.0]},
            },
            "lr_schedule": _SCHEDULES,
            "batch_size": {"choice": [4, 8]},
        },
        steps=8,
        num_random=1500,
        worst=0.0,
    ),
    Problem(
        "textures_segmentation",  # mosaics of textures from photographs and from code
        "segmentation",
        "miou",
        "max",
        {
            "data": {"source": "folder", "root": "textures"},
            "model": {
                "name": "unet",
                "width": {"choice": [4, 6]},
                "depth": {"choice": [1, 2]},
                "normalization": {"choice": ["batch", "group", "none"]},
            },
            "loss": {"dice": {"uniform": [0.0, 1.0]}, "label_smoothing": {"uniform": [0.0, 0.3]}},
            "augment": {"horizontal_flip": {"choice": [0.0, 0.5]}},
            "optimizer": _ADAMW_OR_SGD,
            "batch_size": {"choice": [4, 8]},
        },
        steps=8,
        num_random=1500,
        worst=0.0,
    ),
    Problem(
        "digits_conditional",  # 22 domains, half of them conditional
        "classification",
        "accuracy",
        "max",
        {
            "data": {"source": "csv", "path": "noisy_digits.csv", "target": "digit"},
            "model": {
                "name": "mlp",
                "width": {"lograndint": [8, 128]},
                "depth": {"choice": [1, 2, 3, 4]},
                "dropout": {"uniform": [0.0, 0.6]},
                "normalization": {"choice": ["none", "batch", "layer"]},
            },
            "loss": {
                "label_smoothing": {"uniform": [0.0, 0.3]},
                "mixup": {"choice": [0.0, {"loguniform": [0.05, 2.0]}]},
            },
            "optimizer": {
                "choice": [
                    *_ADAMW_OR_SGD["choice"],
                    {
                        "name": "rmsprop",
                        "lr": {"loguniform": [1e-5, 1.0]},
                        "momentum": {"uniform": [0.0, 0.95]},
                    },
                ]
            },
            "lr_schedule": _SCHEDULES,
            "clip_norm": {"choice": [None, {"loguniform": [0.1, 10.0]}]},
            "batch_size": {"choice": [8, 16, 32, 64]},
        },
        steps=20,
        num_random=2000,
        worst=0.1,
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
        num_random=1500,
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
        num_random=2000,
        held_out=True,
        worst=0.75,
    ),
    Problem(
        "digits_segformer",
        "segmentation",
        "miou",
        "max",
        {
            "data": _SMALL_DIGITS | {"enlarge": 2},
            "model": {
                "name": "segformer",
                "size": "tiny",
                "dropout": {"uniform": [0.0, 0.3]},
                "drop_path": {"uniform": [0.0, 0.3]},
            },
            "loss": {"dice": {"uniform": [0.0, 1.0]}},
            "optimizer": {
                "name": "adamw",
                "lr": {"loguniform": [1e-5, 1e-1]},
                "weight_decay": {"loguniform": [1e-6, 1.0]},
            },
            "lr_schedule": {"name": {"choice": ["constant", "cosine", "polynomial"]}},
            "batch_size": {"choice": [4, 8]},
        },
        steps=8,
        num_random=1500,
        held_out=True,
        worst=0.0,
    ),
)
PROBLEMS = {problem.name: problem for problem in _ALL}
