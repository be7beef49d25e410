"""A simulated search that a view watches, and what the view shows of it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from simulated_search import SPACE, Simulation, config_of

from search.config.config import Config
from search.run.disk.folder import RunFolder
from search.run.events import Event
from search.screen.live import LiveView, PlainView

WIDE_SPACE = {
    **SPACE,
    "model": {
        "hidden": {"choice": [8, 16, 32]},
        "name": {"choice": ["unet-with-a-long-name", "segformer-b0"]},
        "dropout": {"uniform": [0, 0.5]},
    },
    "clip_norm": {"uniform": [0.1, 10]},
    "accumulate": {"randint": [1, 4]},
}


SPEED = {"samples_per_second": 1234.5}


def live_view(width: int, height: int = 50) -> tuple[LiveView, Console]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True)
    return LiveView(console), console


def rendered(view: LiveView, console: Console) -> list[str]:
    """The lines that the view shows now, without colours."""
    console.record = True
    console.print(view._render())
    return [line.rstrip() for line in console.export_text().splitlines()]


def watched(
    folder: Path, view: LiveView | PlainView, config: Config | None = None, **options: Any
) -> Simulation:
    """A simulated search whose events the view is told."""
    config = config or config_of(WIDE_SPACE, sampler={"name": "random"})
    simulation = Simulation(folder, config, **options)
    told = simulation.coordinator.watch

    def watch(event: Event) -> None:
        view.event(replace(event, metrics={**event.metrics, **SPEED}))
        told(event)

    simulation.coordinator.watch = watch
    view.begin(simulation.coordinator, config, RunFolder(folder))
    return simulation
