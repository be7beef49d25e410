"""A file on disk or inside of another one, before it is known what it holds."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from trainables.findings import sample_error
from trainables.images import kinds


@dataclass(frozen=True)
class Stored:
    """A file inside of another one."""

    name: str
    """As messages call it."""
    content: bytes

    def __str__(self) -> str:
        return self.name


File = Path | Stored


def check_exists(file: File) -> None:
    """Refuse what is missing, empty, or a named pipe, which would block forever."""
    if isinstance(file, Stored):
        size = len(file.content)
    else:
        try:
            status = file.stat()
        except OSError as error:
            if not os.path.islink(file):
                raise sample_error(kinds.NO_FILE, file, "there is no such file") from error
            target = os.readlink(file)
            message = f"is a link to {target}, and there is no such file"
            if "annex/objects/" in target:
                message = (
                    f"is a link of git-annex to contents that were not fetched; run: git annex get {file}"
                )
                raise sample_error(kinds.NOT_FETCHED, file, message) from error
            raise sample_error(kinds.UNREADABLE, file, message) from error
        if not stat.S_ISREG(status.st_mode):
            raise sample_error(kinds.UNREADABLE, file, "is not a regular file")
        size = status.st_size
    if not size:
        raise sample_error(kinds.EMPTY, file, "is empty")


def contents(file: File, most: int = -1) -> bytes:
    """The first bytes of a file, or all of them."""
    if isinstance(file, Stored):
        return file.content[:most] if most >= 0 else file.content
    with file.open("rb") as opened_file:
        return opened_file.read(most)
