"""Searches over the tasks of faulty_trials, and what became of their trials."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from faulty_trials import STEPS
from recorder import Recorder
from tiny_tasks import search_config

from search.run.events import EventKind
from search.run.outcome.summary import Summary
from search.run.search import search as run_search
from search.study.reading import read_records
from trainables.checkpoints.checkpoint import checkpoint_folder, list_checkpoints


def config_of(rates: list[float], folder: Path, **sections: Any) -> dict[str, Any]:
    """A search over these learning rates, each of them once and at full length."""
    folder.mkdir(parents=True, exist_ok=True)
    trial = {
        "data": {"folder": str(folder)},
        "optimizer": {"name": "adamw", "lr": {"choice": rates}},
        "batch_size": 16,
    }
    return search_config(
        **{
            "task": "faulty_trials:FaultyTask",
            "trial": trial,
            "virtual_epoch": {"steps": STEPS},
            "budget": {"trials": len(rates), "max_virtual_epochs": 3},
            "sampler": {"name": "grid"},
            "scheduler": {"name": "none"},
            "checkpoint": {"keep_trials": len(rates)},
            "max_failures": 2,
            **sections,
        }
    )


class Done:
    """A search that has come to its end."""

    def __init__(self, config: dict[str, Any], results: Path, *, local: bool = False) -> None:
        self.recorder = Recorder()
        self.summary: Summary = run_search(config, results=results, reporter=self.recorder, local=local)
        self.run = Path(self.summary.folder)
        self.records = {
            r.resolved.options["optimizer"]["lr"]: r for r in read_records(self.run / "study.journal")
        }
        lines = (Path(config["trial"]["data"]["folder"]) / "trace").read_text().splitlines()
        self._begun = Counter((float(rate), int(n)) for rate, n in map(str.split, lines))

    def begun(self, rate: float) -> list[int]:
        """How often virtual epochs 1, 2, … of a trial were begun."""
        numbers = [n for other, n in self._begun if other == rate]
        return [self._begun[rate, n] for n in range(1, max(numbers) + 1)]

    def lost(self, rate: float) -> list[str]:
        """Kinds of the attempts that were lost."""
        return [str(failure.kind) for failure in self.records[rate].failures]

    def weights(self, rate: float) -> bytes:
        """Of the trial's last checkpoint."""
        trial = self.run / "trials" / f"{self.records[rate].number:04d}"
        newest = list_checkpoints(trial)[-1]
        return (checkpoint_folder(trial, newest) / "model.safetensors").read_bytes()

    def environments(self) -> list[float]:
        """Whether each trial ended in an environment that one has left behind."""
        last = {event.record.number: event.metrics for event in self.recorder.events if event.metrics}
        return [last[number]["left_behind"] for number in sorted(last)]

    def notes(self) -> list[str]:
        return [event.text for event in self.recorder.events if event.kind is EventKind.MESSAGE]
