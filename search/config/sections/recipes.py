"""Recipes: what is usual for a kind of task, as priors where a person has said nothing.

Where each number comes from is in docs/priors_and_fidelity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from search.space.domains import Confidence

Part = tuple[Mapping[str, Any], Confidence]
"""Some values of a trial, and how sure they are."""


class Recipe(NamedTuple):
    """Priors for a kind of task."""

    parts: Callable[[Mapping[str, Any]], Sequence[Part]]
    """For a whole configuration; of the first part that has a value for a domain it is taken."""


def _segmentation(tree: Mapping[str, Any]) -> Sequence[Part]:
    rate: Part = ({"optimizer": {"name": "adamw", "lr": 6e-5 if _is_pretrained(tree) else 3e-3}}, "medium")
    return (
        (
            {
                "loss": {"cross_entropy": 1.0, "dice": 1.0},
                "optimizer": {"name": "adamw", "weight_decay": 1e-2},
                "lr_schedule": {"name": "polynomial", "power": 0.9, "warmup": 0.05, "final_factor": 0.0},
                "batch_size": 8,
            },
            "low",
        ),
        rate,
        ({"optimizer": {"name": "sgd", "lr": 0.03, "momentum": 0.9, "weight_decay": 5e-4}}, "low"),
        ({"lr_schedule": {"name": "cosine", "warmup": 0.05, "final_factor": 0.0}}, "low"),
    )


def _is_pretrained(tree: Mapping[str, Any]) -> bool:
    """Whether the model begins with weights from elsewhere."""
    trial = tree.get("trial")
    model = trial.get("model") if isinstance(trial, Mapping) else None
    return isinstance(model, Mapping) and bool(model.get("path") or model.get("weights"))


RECIPES: Mapping[str, Recipe] = {"segmentation": Recipe(_segmentation)}
