"""A small search by population based training of the perceptron of tiny_tasks."""

from __future__ import annotations

from typing import Any

from executor_suite import ALONE
from tiny_tasks import search_config

TRIAL = {
    "model": {"hidden": {"choice": [4, 8, 16]}, "dropout": {"uniform": [0.0, 0.5]}},
    "optimizer": {
        "name": "adamw",
        "lr": {"loguniform": [1e-4, 1e-1]},
        "weight_decay": {"uniform": [0.0, 0.5]},
    },
    "ema": {"uniform": [0.5, 0.99]},
    "lr_schedule": {"name": "cosine", "warmup": 0.1},
    "batch_size": 16,
}


def of_a_population(**sections: Any) -> dict[str, Any]:
    return search_config(
        **{
            "trial": TRIAL,
            "virtual_epoch": {"steps": 5},
            "budget": {"trials": 5, "max_virtual_epochs": 6},
            "scheduler": {"name": "pbt", "interval": 2, "quantile": 0.4},
            "sampler": {"name": "random", "seed": 3},
            "checkpoint": {"every": 3},
            "resources": ALONE,
            **sections,
        }
    )
