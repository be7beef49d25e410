"""Folders that a process finds for files of its own time: sockets and caches."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

LONGEST_SOCKET = 107
"""Bytes of a socket's path."""

_ENOUGH_SPACE = 100e6
"""Bytes for what Ray writes about itself."""


def socket_folder(below: int) -> Path | None:
    """A temporary folder in which this user can make sockets; None where there is none.

    /tmp, unless it cannot be written or is nearly full.

    Args:
        below: bytes of the longest path of a socket, from there.
    """
    roomiest: tuple[int, Path] | None = None
    for folder in _candidates():
        if len(os.fsencode(folder)) + below > LONGEST_SOCKET or not can_write(folder):
            continue
        free = shutil.disk_usage(folder).free
        if free >= _ENOUGH_SPACE:
            return folder
        roomiest = max(roomiest or (free, folder), (free, folder))
    return roomiest[1] if roomiest else None


def make_home_known() -> None:
    """Set HOME where it is not set, as for a container's user without an entry in /etc/passwd.

    Libraries look there for settings when they are imported, Ray also for its token. Where nobody knows a
    home it is /, as Docker sets it.
    """
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)
        home = os.path.expanduser("~")
        os.environ["HOME"] = home if os.path.isabs(home) else "/"


def _candidates() -> Iterator[Path]:
    named = [os.environ.get(name, "") for name in ("TMPDIR", "XDG_RUNTIME_DIR", "HOME")]
    for name in ("/tmp", named[0], "/var/tmp", named[1], "/dev/shm", named[2]):
        if os.path.isabs(name):
            yield Path(name)


def can_write(folder: Path) -> bool:
    """Whether a file there can be given content: also the permissions of a full disk allow it."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
    except OSError:
        return False
    return True
