"""Runs training functions without a search, one virtual epoch at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainables.function.task import function_task
from trainables.function.trainer import FunctionTrainer

CPU = torch.device("cpu")


def trainer_of(function: Callable[..., None], *, epochs: int = 4, count: int = 5, unit: Any = "steps",
               **values: Any) -> FunctionTrainer:  # fmt: skip
    task = function_task(function)
    return task.trainer(
        task.Options.parse(values),
        number=3,
        device=CPU,
        folder=Path("."),
        unit=unit,
        count=count,
        num_virtual_epochs=epochs,
    )


def copied(trainer: FunctionTrainer, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a checkpoint would hold, through a file that nothing is executed for."""
    torch.save((trainer.weights(), trainer.state_dict()), folder / "saved.pt")
    return torch.load(folder / "saved.pt", weights_only=True)


def all_reports(trainer: FunctionTrainer) -> list[dict[str, float]]:
    found = []
    while (metrics := trainer.run_virtual_epoch()) is not None:
        found.append(metrics)
    return found
