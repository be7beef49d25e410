"""What the file system of a run must be able to do, tried before anything rests on it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from search.errors import SearchError
from trainables.files import sync

_LACKING = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY)
"""What file systems say of what they cannot do."""


def require_abilities(folder: Path) -> None:
    """Try to lock a file, to sync a folder and to rename one; nothing of it is left.

    Raises:
        SearchError: the file system cannot do one of these.
        OSError: another error of the system, such as a full disk.
    """
    place = Path(tempfile.mkdtemp(prefix=".probe-", suffix=".partial", dir=folder))
    tries: list[tuple[Callable[[Path], None], str, str]] = [
        (
            _lock,
            "lock files (flock)",
            "without it two searches at once would destroy the study; mount it with locks (NFS without "
            "nolock, Lustre with -o flock)",
        ),
        (sync, "sync folders (fsync)", "without it a power cut could lose checkpoints that were reported"),
        (_rename, "rename folders", "without it half a checkpoint could pass for a whole one"),
    ]
    try:
        for attempt, ability, why in tries:
            try:
                attempt(place)
            except OSError as error:
                if error.errno not in _LACKING:
                    raise
                raise SearchError(
                    f"{folder}: its file system ({file_system_of(folder)}) cannot {ability}: "
                    f"{error.strerror}; {why}, or choose a folder elsewhere (--results, --out)"
                ) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _lock(place: Path) -> None:
    with (place / "lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _rename(place: Path) -> None:
    (place / "folder").mkdir()
    (place / "folder").rename(place / "renamed")


def file_system_of(folder: Path) -> str:
    """`nfs4 at /data`, by the kernel's table of mounts; `unknown` where it has none."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        mounts = [(line.split()[4], line.partition(" - ")[2].split()[0]) for line in lines]
    except (OSError, IndexError):
        return "unknown"
    path = os.path.realpath(folder)
    above = [(at, kind) for at, kind in mounts if os.path.commonpath([path, at]) == at]
    if not above:
        return "unknown"
    at, kind = max(above, key=lambda mount: len(mount[0]))
    return f"{kind} at {at}"
