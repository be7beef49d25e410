"""How a search ends whose executor has died under it, as Ray does when the system is short of memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from search.errors import CutShortError
from search.run.disk.folder import RunFolder
from search.run.disk.hints import going_on
from search.run.reporter import ProgressReporter

log = logging.getLogger(__name__)


class SuddenEnd:
    """What a person reads then, and what the process ends with, see `Executor.on_death`."""

    def __init__(
        self, folder: RunFolder, reporter: ProgressReporter, flags: Sequence[str], advice: str
    ) -> None:
        self._folder, self._reporter, self._flags, self._advice = folder, reporter, flags, advice
        self.signals: Sequence[int] = ()
        """Signals that the search has received."""

    def tell(self, cause: str) -> None:
        self._reporter.note(f"{cause}; ending the search")

    def leave(self, cause: str) -> None:
        """End the process: its main thread waits for an answer of the dead, and hears no signal.

        The study and the checkpoints on disk are whole, as they are whenever a search is killed.
        """
        error = self.error(cause)
        log.critical("%s", error)
        self._reporter.last_words(str(error))
        os._exit(error.exit_code)

    def error(self, cause: str) -> CutShortError:
        """Cause and way out; the exit code is that of the first signal, if there was one."""
        text = (
            f"{cause}: {self._advice}, see {self._folder.log}; "
            f"nothing that was saved is lost, continue with: {going_on(self._folder, flags=self._flags)}"
        )
        return CutShortError(text, 128 + self.signals[0] if self.signals else 1)
