"""What the search that owns a run's folder says about itself, and that it lives: a file that it touches.

The lock beside it tells whether the owner lives, on the same machine. A file system may keep locks within
each machine (NFS with nolock, SMB, most of FUSE), and then the age of this file tells of an owner on another.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from trainables.files import partial_path

HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
"""After which an owner on another machine is taken for dead."""


@dataclass(frozen=True)
class Owner:
    """Who owns, or has owned, the folder of a run."""

    pid: int
    host: str
    since: str
    boot: str = ""
    """The kernel's id of the time since its start: hosts may share a name."""

    @classmethod
    def here(cls) -> Owner:
        since = f"{datetime.now(UTC):%F %T} UTC"
        return cls(os.getpid(), socket.gethostname(), since, _boot())

    @classmethod
    def read(cls, file: Path) -> Owner | None:
        """What a file says, if that is anything yet."""
        try:
            said = json.loads(file.read_bytes())
            return cls(int(said["pid"]), said["host"], said["since"], said.get("boot", ""))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"

    @property
    def is_elsewhere(self) -> bool:
        """Whether its machine is another one, whose locks may not be seen here."""
        return self.host != socket.gethostname() or (self.boot or _boot()) != _boot()

    def write(self, file: Path) -> None:
        partial = partial_path(file)
        try:
            partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


def silence(file: Path) -> float:
    """Seconds since the owner has touched its file, by the clock of the file system alone.

    Raises:
        OSError: it is gone, or nothing can be written beside it.
    """
    with tempfile.NamedTemporaryFile(prefix=".clock-", suffix=".partial", dir=file.parent) as clock:
        clock.write(b"x")
        clock.flush()
        now = os.stat(clock.name).st_mtime
    return max(0.0, now - file.stat().st_mtime)


def living_elsewhere(file: Path) -> tuple[Owner, float] | None:
    """The owner on another machine that has been heard of lately, and how many seconds ago."""
    owner = Owner.read(file)
    if owner is None or not owner.is_elsewhere:
        return None
    try:
        seconds = silence(file)
    except FileNotFoundError:
        return None
    return (owner, seconds) if seconds < SILENCE_SECONDS else None


@contextmanager
def heard_of(file: Path) -> Iterator[None]:
    """Own the file: it says who this is, and is touched every few seconds until the block ends."""
    me, over = Owner.here(), Event()
    me.write(file)

    def live() -> None:
        while not over.wait(HEARTBEAT_SECONDS):
            # A file system that is away for a while, or an owner that has taken over: its study says so.
            with suppress(OSError):
                if Owner.read(file) == me:
                    os.utime(file)

    heart = Thread(target=live, name="owner", daemon=True)
    heart.start()
    try:
        yield
    finally:
        over.set()
        heart.join()
        if Owner.read(file) in (me, None):
            file.unlink(missing_ok=True)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
