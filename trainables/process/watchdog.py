"""Ends a process whose step hangs: a second, small process that waits for what the first one is doing.

A thread could not do this: a process that is stopped, or waits in a library with Python's lock held, runs
none of its threads.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

_TICK = 0.2


class Watchdog:
    """Sends SIGKILL to this process when what `limit` encloses takes longer than it may."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def limit(self, seconds: float | None, file: Path, note: str) -> Iterator[None]:
        """Allow what is inside so many seconds; after them `note` is written to `file`, and the end comes.

        None allows any time.
        """
        if seconds is None:
            yield
            return
        self._tell({"seconds": seconds, "file": str(file), "note": note})
        try:
            yield
        finally:
            self._tell({})

    def close(self) -> None:
        if self._process is not None:
            with suppress(OSError):
                self._pipe.close()
            self._process.wait()
            self._process = None

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._process is not None
        assert self._process.stdin is not None
        return self._process.stdin

    def _tell(self, order: dict[str, Any]) -> None:
        if self._process is None or self._process.poll() is not None:
            # -S and -I: it needs nothing but the standard library, and starts in hundredths of a second.
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-I", __file__, str(os.getpid())], stdin=subprocess.PIPE
            )
        self._pipe.write(json.dumps(order).encode() + b"\n")
        self._pipe.flush()


def watch(pid: int, pipe: IO[bytes]) -> None:
    """Read orders until the watched process is no more; end that one when an order runs out."""
    left: float | None = None
    order: dict[str, Any] = {}
    while True:
        # In ticks, not to a deadline: time in which the whole machine stood still must not count.
        ready, _, _ = select.select([pipe], [], [], _TICK)
        # A process forked from it may hold the other end of the pipe after its death.
        if os.getppid() != pid:
            return
        if ready:
            line = pipe.readline()
            if not line:
                return
            order = json.loads(line)
            left = order.get("seconds")
        elif left is not None:
            left -= _TICK
            if left <= 0:
                with suppress(OSError):
                    Path(order["file"]).write_text(order["note"])
                os.kill(pid, signal.SIGKILL)
                return


if __name__ == "__main__":
    # Ctrl-C reaches the whole group; this process ends when its pipe closes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch(int(sys.argv[1]), os.fdopen(0, "rb", buffering=0))
