"""Training functions and tasks for races over seeds: what a value is of is known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_tasks import DigitsTask
from torch import nn

from trainables.function.trial import Trial


def noisy(
    trial: Trial,
    lr: float = 0.1,
    spread: float = 0.01,
    cursed: Any = (),
    fixed: bool = False,
    spell: str = "",
) -> None:
    """The loss is `lr` and as much of the initial weights as is left; the seeds in `cursed` fail.

    Args:
        spell: a file, if they only do so while it is there.
        fixed: weights are the same whatever the seed.
    """
    model = nn.Linear(3, 1)
    if fixed:
        nn.init.ones_(model.weight)
    trial.track(model=model)
    trial.evaluated_by(lambda: {"loss": lr + spread * float(model.weight.detach().abs().mean())})
    for steps in trial.virtual_epochs():
        for _ in steps:
            if trial.seed in cursed and (not spell or Path(spell).exists()):
                raise RuntimeError(f"seed {trial.seed} is cursed")
            with torch.no_grad():
                model.weight.mul_(0.9)
        trial.report()


class SplitBySeedTask(DigitsTask):
    """Splits its data by the global random numbers, which follow trial.seed."""

    def train_data(self) -> Any:
        self._order = torch.randperm(len(self.arrays["y"])).numpy()
        return self._part(self._order[:1200])

    def valid_data(self) -> Any:
        return self._part(self._order[1200:])

    def _part(self, places: Any) -> Any:
        return self.arrays["x"][places], self.arrays["y"][places]
