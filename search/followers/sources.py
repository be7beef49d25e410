"""Whether a search goes on: told by its process through a pipe, or by the sign of life in its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

from search.followers.look import KILLED
from search.run.disk.folder import RunFolder
from search.run.disk.heartbeat import heard_in
from search.study.reading import FollowedStudy


class Heard:
    """A search that somebody else has started: it goes on while its folder has an owner.

    Args:
        folder: of the run.
        phase: called with a line before a wait for an owner on another machine.
    """

    def __init__(self, folder: RunFolder, phase: Callable[[str], None]) -> None:
        self._folder, self._phase = folder, phase

    def has_begun(self, folder: RunFolder) -> bool:
        return folder.has_begun

    def ended(self) -> str | None:
        return "" if heard_in(self._folder.owner_file, self._phase) is None else None

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class Piped:
    """The search that has started this process, see `search.run.loggers`.

    A pipe ends with the process that writes it, however that ends.

    Args:
        pipe: its first line has the settings; the second one, if it comes, says how the search has ended.
    """

    def __init__(self, pipe: IO[str]) -> None:
        self._pipe, self._over, self._said = pipe, Event(), KILLED
        said = json.loads(pipe.readline())
        self.logger: dict[str, Any] = said["logger"]
        self._by: str = said["by"]
        self._studies: dict[Path, FollowedStudy] = {}
        self._has_begun = False
        Thread(target=self._listen, daemon=True).start()

    def has_begun(self, folder: RunFolder) -> bool:
        """The study is written by that very search: one that is refused has nothing to tell."""
        if not self._has_begun and folder.has_begun:
            for stage in folder.stages():
                study = self._studies.setdefault(stage.journal, FollowedStudy(stage.journal))
                self._has_begun = self._has_begun or study.writer() == self._by
        return self._has_begun

    def ended(self) -> str | None:
        return self._said if self._over.is_set() else None

    def wait(self, seconds: float) -> None:
        if self._over.is_set():
            time.sleep(seconds)
        else:
            self._over.wait(seconds)

    def _listen(self) -> None:
        for line in self._pipe:
            self._said = line.strip() or self._said
        self._over.set()
