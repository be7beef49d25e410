"""A disk that is full, or a folder that cannot be written: one line with the path and the way out."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search.errors import SearchError
from trainables.files import atomic_folder

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What is raised where nothing more can be written, mostly without the name of a file."""


@contextmanager
def disk_errors(folder: Path, way_out: str) -> Iterator[None]:
    """Around what writes below a folder: raise SearchError where the system refuses that.

    Args:
        way_out: what to do where the disk is full.
    """
    try:
        yield
    except OSError as error:
        named = None if error.filename is None else Path(str(error.filename))
        if error.errno in _FULL:
            raise SearchError(f"{folder} cannot be written: {error.strerror}; {way_out}") from error
        if named is not None and named.is_relative_to(folder.parent):
            raise SearchError(
                f"{named} cannot be written: {error.strerror}; permit it, or give another --out"
            ) from error
        raise


@contextmanager
def whole_export(out: Path) -> Iterator[Path]:
    """As `atomic_folder`, for what is exported.

    Raises:
        SearchError: the disk is full or cannot be written; what was there before stays.
    """
    way_out = "nothing was exported: free space, or give another --out"
    with disk_errors(out, way_out), atomic_folder(out) as partial:
        yield partial
