"""A training function with categories that try to be HTML, and a small search of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import search

SCRIPT = "<script>document.title='taken'</script>"
SECTIONS: dict[str, Any] = {
    "objective": {"metric": "loss", "mode": "min"},
    "virtual_epoch": {"steps": 2},
    "sampler": {"name": "random", "seed": 3},
    "scheduler": {"name": "asha", "grace_period": 1, "reduction_factor": 3},
}
SPACE = {
    "lr": search.loguniform(1e-3, 0.5),
    "kind": search.choice([SCRIPT, f"<b>{SCRIPT}", {"name": "shifted", "by": search.uniform(0.0, 1.0)}]),
    "idle": search.uniform(0.0, 1.0),
}


def fit(trial: search.Trial, lr: float = 0.1, kind: Any = SCRIPT, idle: float = 0.0) -> None:
    """A parabola, whose learning rate matters; `idle` does nothing but that some values of it diverge."""
    x = torch.nn.Parameter(torch.full((1,), 2.0))
    optimizer = torch.optim.SGD([x], lr=lr)
    trial.track(model=torch.nn.ParameterList([x]), optimizer=optimizer)
    for steps in trial.virtual_epochs():
        for _ in steps:
            optimizer.zero_grad()
            loss = (x**2).sum() * (torch.inf if idle > 0.9 else 1.0)
            loss.backward()
            optimizer.step()
        trial.report(loss=loss, distance=abs(float(x.detach()) - 0.3))


def small_run(
    folder: Path, *, trials: int = 30, space: Mapping[str, Any] = SPACE, **sections: Any
) -> search.Run:
    """A search of it in this process, in a folder below this one."""
    budget = {"trials": trials, "max_virtual_epochs": 9}
    return search.search(
        fit,
        space=space,
        results=folder,
        local=True,
        progress=False,
        budget=budget,
        **{**SECTIONS, **sections},
    )
