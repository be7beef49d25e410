"""Which search runs in a folder, for those who only look: no lock is taken, and nothing is written.

An owner whose process can be seen from here lives or not. Of any other, the sign of life is awaited that it
gives every few seconds; how long ago the last one came is by the clocks of two machines.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.run.owner import Owner, Watch

FORGOTTEN_SECONDS = 3600.0
"""After which an owner that cannot be seen is taken for dead: no two clocks differ by so much."""
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Heard:
    """The owner of a folder that lives, as far as is known."""

    owner: Owner
    is_certain: bool
    """Its process is seen, or it was heard of while it was listened to."""
    silent: float
    """Seconds since its last sign of life."""


class Listener:
    """Listens to the owners of several folders at once.

    Args:
        files: what their owners say about themselves, see `search.run.owner`.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._began = time.monotonic()
        self._watches: Mapping[Path, Watch] = {
            file: Watch(file)
            for file in files
            if (owner := Owner.read(file)) is not None and owner.lives_here is None and _age(file) is not None
        }

    @property
    def waits_for(self) -> list[Owner]:
        """Owners that cannot be seen from here and have not been heard of yet."""
        silent = (file for file, watch in self._watches.items() if not watch.has_changed())
        return [owner for file in silent if (owner := Owner.read(file)) is not None]

    def listen(self, seconds: float) -> None:
        """Wait until all have been heard of, or so many seconds have passed since this began to listen."""
        while self.waits_for and time.monotonic() - self._began < seconds:
            time.sleep(_LOOK_SECONDS)

    def heard(self, file: Path, *, of_silent: bool = True) -> Heard | None:
        """Who lives, or may live, and owns a file; None if nobody does.

        Args:
            of_silent: give also an owner that cannot be seen and has kept silent meanwhile.
        """
        owner = Owner.read(file)
        if owner is None or (lives := owner.lives_here) is False:
            return None
        watch, age = self._watches.get(file), _age(file)
        if lives or (watch is not None and watch.has_changed()):
            return Heard(owner, is_certain=True, silent=age or 0.0)
        if age is None or not of_silent:
            return None
        return Heard(owner, is_certain=False, silent=age)


def _age(file: Path) -> float | None:
    """Seconds since a file was touched, by two clocks; None if that is long ago or the file is gone."""
    try:
        age = max(0.0, time.time() - file.stat().st_mtime)
    except OSError:
        return None
    return age if age < FORGOTTEN_SECONDS else None
