"""Files and folders as people give them: paths of this machine, which other addresses are not."""

from __future__ import annotations

import re
from pathlib import Path

from search.errors import RefusedError
from trainables.storage.address import is_address

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
"""A pathlib.Path has made one slash of two."""
OWNERS = "owner"
"""In a run's part of a storage, the folder that has its sessions."""
_FILE = re.compile(r"file:(?://(?:localhost)?)?(?=/(?!/))", re.IGNORECASE)


def stored_run(given: str | Path) -> str | None:
    """The address of a run in a storage, if it is one; None for a path of this machine.

    Of a `file:///…` address what lies there says which.
    """
    text = str(given)
    if not is_address(text):
        return None
    if text.lower().startswith("file:"):
        return text if (local_path(text) / OWNERS).is_dir() else None
    return text


def local_path(given: str | Path) -> Path:
    """The path that was given, or that of a `file:///…` address.

    Raises:
        RefusedError: it is an address of another kind, such as `s3://bucket/runs`; taken as a path it would
            be a folder `s3:` in the current one.
    """
    text = str(given)
    found = _SCHEME.match(text)
    if found is None:
        return Path(given)
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme != "file":
        raise RefusedError(
            f"{scheme}://{rest} is an address, and runs, configurations and exports are files of this "
            "machine; give a path, such as one where that storage is mounted (s3fs, rclone mount), or let "
            "`storage:` in the configuration keep a run there too"
        )
    path = _FILE.sub("", text, count=1)
    if path == text:
        raise RefusedError(f"{text} names another machine; a file:// address is file:///PATH")
    return Path("/" + path.lstrip("/"))
