"""Which search runs in a folder, for those who only look: no lock is taken, and nothing is written.

An owner whose process can be seen from here lives or not. Of any other, the sign of life is awaited that it
gives every few seconds; how long ago the last one came is by the clocks of two machines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.run.disk.owner import ASKED_SECONDS, SILENCE_SECONDS, Owner, Watch

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
        files: what their owners say about themselves, see `search.run.disk.owner`.
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

    def listen(self, seconds: float, phase: Callable[[str], None]) -> None:
        """Wait until all have been heard of, or so many seconds have passed since this began to listen.

        Args:
            seconds: the longest wait.
            phase: called with a line before it.
        """
        if hosts := sorted({owner.host for owner in self.waits_for}):
            of = hosts[0] if len(hosts) == 1 else f"{len(hosts)} machines"
            phase(f"listening up to {seconds:.0f} s for a sign of life of {of}")
        while self.waits_for and time.monotonic() - self._began < seconds:
            time.sleep(_LOOK_SECONDS)

    def heard(self, file: Path, *, silence: float = FORGOTTEN_SECONDS) -> Heard | None:
        """Who lives, or may live, and owns a file; None if nobody does.

        Args:
            file: of the owner.
            silence: seconds, by two clocks, after which an owner is taken for dead that cannot be seen and
                has kept silent while this listened.
        """
        owner = Owner.read(file)
        if owner is None or (lives := owner.lives_here) is False:
            return None
        watch, age = self._watches.get(file), _age(file)
        if lives or (watch is not None and watch.has_changed()):
            return Heard(owner, is_certain=True, silent=age or 0.0)
        if age is None or age >= silence:
            return None
        return Heard(owner, is_certain=False, silent=age)


def heard_in(file: Path, phase: Callable[[str], None]) -> Heard | None:
    """Who lives, or may live, and owns one folder; an owner that cannot be seen is listened to.

    One that keeps silent is taken for dead as soon as a search that wants its folder would take it so: a file
    server that hangs, or a process that is stopped for a while, is silent for longer than this listens.

    Args:
        file: of the owner.
        phase: called with a line before the wait.
    """
    listener = Listener([file])
    listener.listen(ASKED_SECONDS, phase)
    return listener.heard(file, silence=SILENCE_SECONDS)


def _age(file: Path) -> float | None:
    """Seconds since a file was touched, by two clocks; None if that is long ago or the file is gone."""
    try:
        age = max(0.0, time.time() - file.stat().st_mtime)
    except OSError:
        return None
    return age if age < FORGOTTEN_SECONDS else None
