"""Follows a run until it has ended: looks, writes what is new, and tries again where that fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from search.errors import SearchError
from search.followers.destination import Destination, DestinationError, FollowedRun, Status
from search.followers.look import Look
from search.run.disk.folder import RunFolder

EVERY_SECONDS = 5.0
"""From one look to the next."""
LONGEST_WAIT = 60.0
"""Before a destination that fails is tried again; first as long as between two looks, then twice that, …"""
PATIENCE_SECONDS = 300.0
"""After the end of a search, for which a destination that fails is tried."""


class Source(Protocol):
    """Says whether the search goes on."""

    def ended(self) -> str | None:
        """None while it goes on; how it has ended, or an empty text where its files say that."""

    def has_begun(self, folder: RunFolder) -> bool:
        """Whether there is something to follow."""

    def wait(self, seconds: float) -> None:
        """Wait so long, or until it has ended."""


class Done(NamedTuple):
    """What was written."""

    trials: int
    place: str


@dataclass
class Follower:
    """Brings a destination to what a run is.

    Args:
        folder: of the run, which need not have begun.
        open_destination: makes a new one.
        source: whether the search goes on.
        report: called with a line, how many trials are as they should be, and of how many.
        every: seconds from one look to the next.
        once: write what is there, and wait neither for the end nor for a destination that fails.
        patience: seconds after the end for which a destination that fails is tried.
    """

    folder: RunFolder
    open_destination: Callable[[], Destination]
    source: Source
    report: Callable[[str, int, int], None]
    every: float = EVERY_SECONDS
    once: bool = False
    patience: float = PATIENCE_SECONDS
    _look: Look = field(init=False)
    _destination: Destination | None = field(default=None, init=False)
    _written: dict[tuple[str, bool], object] = field(default_factory=dict, init=False)
    """What was written last of each, by its id and whether it had ended."""

    def run(self) -> Done | None:
        """Follow until the search has ended and all is written; None if it has not begun.

        Raises:
            SearchError: the run cannot be read, or the destination fails; the way out is to run this again.
        """
        self._look, wait, over_since = Look(self.folder), self.every, None
        try:
            while True:
                ended = self.source.ended()
                over_since = time.monotonic() if over_since is None and ended is not None else over_since
                try:
                    if (run := self._taken(ended)) is not None:
                        self._write(run)
                        if ended is not None or self.once:
                            return self._done(run)
                    elif ended is not None:
                        return None
                    wait = self.every
                except DestinationError as error:
                    self._close()
                    is_late = over_since is not None and time.monotonic() - over_since >= self.patience
                    if self.once or is_late:
                        rest = "what is written stays, and the same command writes the rest"
                        raise SearchError(f"{error}; {rest}") from error
                    self.report(f"{error}; trying again in {wait:.0f} s", 0, 0)
                    self.source.wait(wait)
                    wait = min(LONGEST_WAIT, 2 * wait)
                else:
                    self.source.wait(wait)
        finally:
            self._close()

    def _taken(self, ended: str | None) -> FollowedRun | None:
        """None where it has not begun, and where a file cannot be read now while the search runs."""
        if not self.source.has_begun(self.folder):
            return None
        try:
            return self._look.take(ended)
        except (SearchError, OSError) as error:
            if ended is not None or self.once:
                raise SearchError(f"cannot read {self.folder.path}: {error}") from error
            self.report(str(error), 0, 0)
            return None

    def _write(self, run: FollowedRun) -> None:
        if self._destination is None:
            self._destination, self._written = self.open_destination(), {}
            self._destination.open(run)
        search = run.search
        begun = replace(search, status=Status.RUNNING, state="running", reason="")
        first = [begun] if not search.has_ended or self._destination.lacks(search) else []
        order = [*first, *run.trials, *([search] if search.has_ended else ())]
        for number, followed in enumerate(order):
            parent = None if followed.id == search.id else search
            key = followed.id, followed.has_ended
            if self._written.get(key) != followed.fingerprint:
                self._destination.write(followed, parent=parent)
                self._written[key] = followed.fingerprint
                self.report(f"writing {followed.name}", number, len(order))

    def _done(self, run: FollowedRun) -> Done:
        assert self._destination is not None
        try:
            self._destination.keep(run.files)
        except DestinationError as error:
            self.report(f"files are not kept there: {error}", 0, 0)
        return Done(len(run.trials), self._destination.place)

    def _close(self) -> None:
        if self._destination is not None:
            self._destination.close()
        self._destination = None
