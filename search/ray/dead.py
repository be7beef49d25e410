"""How this process goes on when its Ray is dead: it says so, and sees to it that nobody waits for it."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
from collections.abc import Callable
from threading import Event

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
"""For which a search whose Ray is dead may go on: then it waits for what does not come."""
_LOOK_SECONDS = 0.5

_tables_gone = Event()

Told = Callable[[str], None]


class DeathNotice:
    """Tells a search that its Ray is dead, see `Executor.on_death`."""

    def __init__(self) -> None:
        self._told: tuple[Told, Told] | None = None

    def to(self, tell: Told, leave: Told) -> None:
        """Call these."""
        self._told = tell, leave

    def give(self, death: str, over: Event, patience: float = PATIENCE_SECONDS) -> None:
        """Say so once, and leave if it is not over within so many seconds; returns when it is."""
        deadline, told = time.monotonic() + patience, False
        while not over.is_set():
            if self._told is not None:
                tell, leave = self._told
                if not told:
                    _try(tell, death)
                elif time.monotonic() > deadline:
                    _try(leave, death)
                told = True
            over.wait(_LOOK_SECONDS)


def _try(told: Told, death: str) -> None:
    """Whatever it raises, such as of a closed output, whoever waits for the dead must not wait for ever."""
    try:
        told(death)
    except Exception:
        log.exception("%s", death)


def give_up_tables() -> None:
    """Nobody asks Ray's tables for anything any more: they are gone, and it would take a minute."""
    if ray := sys.modules.get("ray"):
        atexit.unregister(ray.shutdown)
    _tables_gone.set()


def exit_if_crippled(code: int) -> None:
    """End this process here if Ray's tables went before it: with Python's own end Ray's C++ code crashes."""
    if _tables_gone.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
