"""What the search that owns a run's folder says about itself, and that it lives: a file that it touches.

The lock beside it tells whether the owner lives, on the same machine. A file system may keep locks within
each machine (NFS with nolock, SMB, most of FUSE), or keep that of a machine that has died (NFSv4, until its
lease ends). So of an owner on another machine this file is watched: while it changes, the owner lives. Its
age says nothing, since it may be by the clock of that machine.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock, Timeout

from search.errors import SearchError
from trainables.files import partial_path

HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
"""After which an owner on another machine is taken for dead."""
LEASE_SECONDS = 150.0
"""After which nobody waits any more for the lock of one that is silent."""
ASKED_SECONDS = 15.0
"""For which an owner on another machine is listened to by who only asks for it."""
_LOOK_SECONDS = 0.1
_FOUND_DEAD: set[tuple[int, str, str]] = set()
"""Owners that this process has outlasted: the folders of a run and of its stages have the same."""


@dataclass(frozen=True)
class Owner:
    """Who owns, or has owned, the folder of a run."""

    pid: int
    host: str
    since: str
    boot: str = ""
    """The kernel's id of the time since its start: hosts may share a name."""
    pids: str = ""
    """The kernel's id of what `pid` counts in: containers of a machine have one each."""
    begun: int = 0
    """When the process began, in ticks since the kernel's own start: a pid is given to others later."""
    doing: str = ""
    """The command that works in the folder, such as `clean`; empty for a search."""

    @classmethod
    def here(cls, doing: str = "") -> Owner:
        since, pid = f"{datetime.now(UTC):%F %T} UTC", os.getpid()
        return cls(pid, socket.gethostname(), since, _boot(), _pids(), _begun(pid), doing)

    @classmethod
    def read(cls, file: Path) -> Owner | None:
        """What a file says, if that is anything yet."""
        try:
            said = json.loads(file.read_bytes())
            known = said.get("boot", ""), said.get("pids", ""), int(said.get("begun", 0))
            return cls(int(said["pid"]), said["host"], said["since"], *known, str(said.get("doing", "")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def __str__(self) -> str:
        doing = f" ({self.doing})" if self.doing else ""
        return f"process {self.pid}{doing} on {self.host} since {self.since}"

    @property
    def is_elsewhere(self) -> bool:
        """Whether its machine is another one, whose locks may not be seen here."""
        here = _boot()
        # A laptop gets another name with its network, and a container with each start.
        return self.boot != here if self.boot and here else self.host != socket.gethostname()

    @property
    def lives_here(self) -> bool | None:
        """Whether its process lives; None where this cannot be seen from here."""
        if self.begun and (self.boot, self.pids) == (_boot(), _pids()):
            begun = _begun(self.pid)
            # What the kernel hides of others' processes (hidepid) looks as if it had ended.
            return None if not begun and _may_live(self.pid, of_others=True) else begun == self.begun
        # Of an older version, or of a system without /proc: the pid may be somebody else's by now.
        is_of_here = self.host == socket.gethostname() and self.boot in ("", _boot())
        counts_here = self.pids in ("", _pids()) and not self.begun
        return False if is_of_here and counts_here and not _may_live(self.pid) else None

    @property
    def process(self) -> tuple[int, str, str]:
        """The same in all folders that it owns."""
        return self.pid, self.host, self.boot

    def write(self, file: Path) -> None:
        partial = partial_path(file)
        try:
            partial.write_text(json.dumps(asdict(self)), encoding="utf-8")
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


JUST_BEGUN = "a process that has just begun"
"""An owner that has not said yet who it is."""
_WAY_OUT = "end that one first; another search takes another --name"


class Watch:
    """Sees whether an owner's file changes: clocks of two machines are not compared."""

    def __init__(self, file: Path) -> None:
        self._file, self._first, self._begin = file, _state(file), time.monotonic()

    @property
    def seconds(self) -> float:
        """That it has been watched."""
        return time.monotonic() - self._begin

    def has_changed(self) -> bool:
        return _state(self._file) != self._first


def _state(file: Path) -> tuple[int, int, bytes] | None:
    """What each sign of life changes; None if the file is gone."""
    try:
        with file.open("rb") as opened:  # opened, as NFS shows news then
            found = os.fstat(opened.fileno())
            return found.st_ino, found.st_mtime_ns, opened.read()
    except FileNotFoundError:
        return None


def living_elsewhere(file: Path) -> Owner | None:
    """The owner on another machine, if it gives a sign of life while it is listened to."""
    watch = Watch(file)
    while (owner := Owner.read(file)) is not None and owner.is_elsewhere:
        if watch.has_changed():
            return owner
        if watch.seconds >= ASKED_SECONDS or owner.process in _FOUND_DEAD:
            return None
        time.sleep(_LOOK_SECONDS)
    return None


def outlast(file: Path, lock: FileLock, say: Callable[[str], None]) -> None:
    """Return when the lock is held and nobody lives who owns the file.

    An owner on another machine, which may have died, is given a while to give a sign of life.

    Args:
        file: of the owner.
        lock: beside it, held already if it was free.
        say: called with a line before the wait.

    Raises:
        SearchError: it belongs to somebody who lives, or whose lock is held.
    """
    watch, has_said = Watch(file), False
    while True:
        if not lock.is_locked:
            with suppress(Timeout):
                lock.acquire(timeout=0)
        owner = Owner.read(file)
        if owner is None or not owner.is_elsewhere:
            if lock.is_locked:
                return
            raise _refusal(file, f"{owner or JUST_BEGUN}; {_WAY_OUT}")
        if watch.has_changed():
            raise _refusal(file, f"{owner}, on another machine, which has just been heard of; {_WAY_OUT}")
        if lock.is_locked and (watch.seconds >= SILENCE_SECONDS or owner.process in _FOUND_DEAD):
            _FOUND_DEAD.add(owner.process)
            return
        if watch.seconds >= LEASE_SECONDS:
            raise _refusal(
                file,
                f"{owner}, on another machine; nothing was heard of it for {watch.seconds:.0f} s, yet its "
                "lock is held: a file server may keep that of a machine that has died (NFSv4: until its "
                "lease ends, 90 s by default); end that one, or start this again later",
            )
        if not has_said:
            has_said = True
            say(
                f"the last search here was {owner}, on another machine: waiting up to "
                f"{SILENCE_SECONDS if lock.is_locked else LEASE_SECONDS:.0f} s for a sign of life"
            )
        time.sleep(_LOOK_SECONDS)


def _refusal(file: Path, words: str) -> SearchError:
    return SearchError(f"{file.parent} belongs to a running search: {words}")


@contextmanager
def heard_of(file: Path, doing: str = "") -> Iterator[None]:
    """Own the file: it says who this is, and is touched every few seconds until the block ends."""
    me, over = Owner.here(doing), Event()
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


def _pids() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _begun(pid: int) -> int:
    """Of a process that lives; 0 for one that has ended, and where the kernel does not say."""
    try:
        # The name in parentheses may hold anything; the state comes after it, and 19 fields later the ticks.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        state, ticks = fields.split()[0], int(fields.split()[19])
    except (OSError, ValueError, IndexError):
        return 0
    return 0 if state in "ZX" else ticks


def _may_live(pid: int, *, of_others: bool = False) -> bool:
    """Whether there is a process of that number, or with `of_others` one of another user."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return not of_others


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
