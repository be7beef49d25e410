"""The runs in a folder and in the folders below it, and how much each takes on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from search.run.disk.folder import RunFolder

MOST_FILES = 100_000
"""Of a run, beyond which the others are not counted."""


def find_runs(
    folder: Path,
    *,
    unread: Callable[[OSError], None] = lambda error: None,
    looked: Callable[[int], None] = lambda number: None,
) -> Iterator[RunFolder]:
    """The runs in a folder, by name; the folder itself, if it is one. Runs are not descended into.

    Args:
        folder: to look in; hidden folders in it are left out, and what links to a folder is not descended.
        unread: called for a folder or link that cannot be read.
        looked: called with the number of folders so far.
    """
    waiting, number = [folder], 0
    while waiting:
        place = waiting.pop()
        number += 1
        looked(number)
        try:
            if RunFolder(place).has_begun:
                yield RunFolder(place)
            elif place == folder or not place.is_symlink():
                waiting += _folders_in(place, unread)
        except OSError as error:
            unread(error)


def _folders_in(place: Path, unread: Callable[[OSError], None]) -> list[Path]:
    found = []
    with os.scandir(place) as entries:
        for entry in entries:
            try:
                if not entry.name.startswith(".") and entry.is_dir():
                    found.append(entry.name)
            except OSError as error:  # a link in a circle, or into a folder that is closed
                unread(error)
    return [place / name for name in sorted(found, reverse=True)]


class Size(NamedTuple):
    """What a folder takes on disk."""

    num_bytes: int
    is_whole: bool
    """False where only the first files were counted."""


def size_of(folder: Path, most_files: int = MOST_FILES) -> Size:
    """The bytes of the files below a folder, each file once; what cannot be read counts nothing.

    Args:
        folder: a search may be writing there.
        most_files: files and folders after which counting ends.
    """
    total, number, waiting = 0, 0, [str(folder)]
    linked: set[tuple[int, int]] = set()
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                number += 1
                if number > most_files:
                    return Size(total, is_whole=False)
                with suppress(OSError):  # removed meanwhile
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += _new_bytes(entry.stat(follow_symlinks=False), linked)
    return Size(total, is_whole=True)


def _new_bytes(found: os.stat_result, linked: set[tuple[int, int]]) -> int:
    """Those of a file, unless it was counted under another name, which is then in `linked`."""
    if found.st_nlink == 1:
        return found.st_size
    key, before = (found.st_dev, found.st_ino), len(linked)
    linked.add(key)
    return found.st_size if len(linked) > before else 0
