"""Runs a training function without a search: as a script, in a notebook, under a debugger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from trainables.data.virtual_epoch import Unit
from trainables.function.task import arguments_of, function_task
from trainables.function.trial import Trial
from trainables.process.process_state import seed_everything


class _Printer:
    """The host of a function that runs alone: prints what it reports."""

    def __init__(self) -> None:
        self.trial: Trial | None = None
        self.reports: list[dict[str, float]] = []

    def ready(self) -> None:
        pass

    def check(self) -> None:
        pass

    def restore(self, name: str) -> None:
        pass

    def report(self, metrics: dict[str, float]) -> None:
        assert self.trial is not None
        self.reports.append(metrics)
        trial = self.trial
        step = trial.lengths.end_step(trial.done)
        print(
            f"virtual epoch {trial.done} of {trial.num_virtual_epochs}, step {step}: "
            + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()),
            flush=True,
        )


def alone(
    function: Callable[..., None],
    *,
    virtual_epochs: int = 3,
    steps: int | None = 100,
    samples: int | None = None,
    epochs: int | None = None,
    device: str | torch.device | None = None,
    folder: str | Path = ".",
    **values: Any,
) -> list[dict[str, float]]:
    """Train once with the function's default values, or with these; prints and returns each report.

    Nothing is saved, and no other process or thread is started.

    >>> if __name__ == "__main__":
    ...     search.alone(train, lr=0.3)

    Args:
        function: `def train(trial, lr: float = 0.1, …)`.
        virtual_epochs: how many.
        steps, samples, epochs: length of each, in one of these units.
        device: where (default: a GPU if there is one).
        folder: what `trial.folder` is.
        values: of the function's parameters.

    Raises:
        ValidationError: the function does not take these values.
    """
    options = function_task(function).Options.parse(values)
    lengths: dict[Unit, int | None] = {"epochs": epochs, "samples": samples, "steps": steps}
    unit, count = next((unit, count) for unit, count in lengths.items() if count is not None)
    host = _Printer()
    trial = host.trial = Trial(
        dict(options),
        number=0,
        seed=options.seed,
        device=torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")),
        folder=Path(folder),
        unit=unit,
        count=count,
        num_virtual_epochs=virtual_epochs,
        done=0,
        host=host,
    )
    seed_everything(options.seed)
    try:
        function(trial, **arguments_of(function, dict(options)))
    finally:
        trial.close()
    return host.reports
