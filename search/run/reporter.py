"""Whoever shows a search while it runs."""

from __future__ import annotations

from typing import Protocol

from search.config.config import Config
from search.run.coordinator import Coordinator
from search.run.events import Event
from search.run.folder import RunFolder


class ProgressReporter(Protocol):
    """Whoever shows a search while it runs."""

    def phase(self, text: str) -> None:
        """Something before the first trial that takes time."""

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None: ...

    def event(self, event: Event) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


class SilentReporter:
    """Shows nothing; for notebooks and tests."""

    def phase(self, text: str) -> None: ...

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None: ...

    def event(self, event: Event) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...
