"""A conditional space with every kind of domain."""

from __future__ import annotations

TREE = {
    "data": {"source": "digits", "root": "${env:DATA}"},
    "model": {"name": "unet", "width": {"choice": [16, 32, 64]}, "rate": {"quniform": [0.1, 1.0, 0.1]}},
    "optimizer": {
        "choice": [
            {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}, "betas": [0.9, {"uniform": [0.9, 0.999]}]},
            {"name": "sgd", "lr": {"loguniform": [1e-3, 1.0]}, "momentum": {"choice": [0.0, 0.9]}},
        ]
    },
    "head": {"choice": [None, {"layers": {"randint": [1, 4]}}, {"choice": ["a", [1, 2]]}]},
    "batch_size": {"quniform": [8, 30, 8]},
    "steps": {"lograndint": [1, 100]},
}
