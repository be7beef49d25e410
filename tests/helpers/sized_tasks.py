"""Tasks for searches whose trials do not all take the same."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from host_tasks import wait_until
from tiny_tasks import AccuracyMetrics, DigitsTask


class SizedTask(DigitsTask):
    """Notes the process, the threads and `model.hidden` of each virtual epoch in the file `data.seen`."""

    def metrics(self) -> AccuracyMetrics:
        seen = Path(self.options.data["seen"])
        with seen.open("a", encoding="utf-8") as out:
            out.write(f"{os.getpid()} {torch.get_num_threads()} {self.options.model['hidden']}\n")
        return super().metrics()


class TogetherTask(SizedTask):
    """Ends no virtual epoch before trials of two widths are in one, each once."""

    def metrics(self) -> AccuracyMetrics:
        metrics = super().metrics()
        wait_until(lambda: len({width for _, _, width in seen(Path(self.options.data["seen"]))}) > 1)
        return metrics


def seen(file: Path) -> list[tuple[int, int, int]]:
    """Process, threads and width of each virtual epoch so far."""
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").splitlines()
    return [(int(process), int(threads), int(width)) for process, threads, width in map(str.split, lines)]
