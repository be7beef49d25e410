"""What a search showed while it ran, and its study as any Optuna program opens it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import optuna

from search.run.coordinator import Coordinator
from search.run.events import Event, EventKind
from search.run.reporter import ProgressReporter


class Recorder(ProgressReporter):
    """Keeps every event, and how many trials were running at it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reports: dict[int, list[tuple[int, int]]] = defaultdict(list)
        """Per trial (virtual epoch, process)."""
        self.most_running = 0
        self.notes: list[str] = []

    def begin(self, coordinator: Coordinator, config: Any, folder: Any) -> None:
        self._coordinator = coordinator

    def event(self, event: Event) -> None:
        self.events.append(event)
        self.most_running = max(self.most_running, len(self._coordinator.running))
        if event.kind is EventKind.REPORTED:
            self.reports[event.record.number].append((event.record.depth, event.metrics["process"]))

    def note(self, text: str) -> None:
        self.notes.append(text)

    def kinds(self) -> list[EventKind]:
        return [event.kind for event in self.events]


def optuna_study(folder: str | Path) -> optuna.Study:
    """The study as any Optuna program opens it."""
    backend = optuna.storages.journal.JournalFileBackend(str(Path(folder) / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    (name,) = (study.study_name for study in storage.get_all_studies())
    return optuna.load_study(study_name=name, storage=storage)
