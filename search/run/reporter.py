"""What a search reports to while it runs."""

from __future__ import annotations

from search.config.config import Config
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.events import Event


class ProgressReporter:
    """Shows a search while it runs: nothing, unless a subclass does."""

    def phase(self, text: str) -> None:
        """Something before the first trial that takes time."""

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None:
        """The first trial is about to start."""

    def event(self, event: Event) -> None:
        """Something happened to a trial."""

    def note(self, text: str) -> None:
        """A line that a person should read."""

    def end(self) -> None:
        """The last trial has ended."""

    def last_words(self, text: str) -> None:
        """The process ends with this line; called in another thread, in the place of `end`."""
