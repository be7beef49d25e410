"""A run's folder on this machine and its mirror: which of them is ahead, and how the folder gets there."""

from __future__ import annotations

from pathlib import Path

from search.errors import RefusedError
from search.mirror.head import Head, MissingPieceError, read_head
from search.study.study import JOURNAL
from search.text import command
from trainables.files import atomic_write
from trainables.storage.store import Store


def fetch_run(store: Store, folder: Path) -> bool:
    """Bring the files of a run here where its mirror is ahead of this folder; no checkpoints.

    Returns:
        Whether something was fetched.

    Raises:
        RefusedError: both have what the other lacks.
        SearchError: the mirror is damaged.
    """
    head = read_head(store)
    while head is not None and head.journals:
        try:
            return _fetch(store, head, folder)
        except MissingPieceError:
            # A search that runs replaces pieces, after it has written a head without them.
            before, head = head, read_head(store)
            if head == before:
                raise
    return False


def _fetch(store: Store, head: Head, folder: Path) -> bool:
    if not _is_ahead(store, head, folder):
        return False
    for path in head.files:
        _write(folder / path, head.file(store, path))
    # The journals last: with them the folder is that of a search.
    for path in head.journals:
        _write(folder / path, head.journal(store, path))
    return True


def _is_ahead(store: Store, head: Head, folder: Path) -> bool:
    """Whether a journal in the mirror goes on where this folder's ends."""
    ahead, behind = [], []
    for path in head.journals:
        file = folder / path
        here = file.read_bytes() if file.is_file() else b""
        here = here[: here.rfind(b"\n") + 1]
        there = head.journal(store, path)
        if here == there:
            continue
        if there.startswith(here):
            ahead.append(path)
        elif here.startswith(there):
            behind.append(path)
        else:
            raise _diverged(store, folder, path)
    more_here = [
        file for file in folder.glob(f"stages/*/{JOURNAL}") if _name(file, folder) not in head.journals
    ]
    if ahead and (behind or more_here):
        raise _diverged(store, folder, ahead[0])
    return bool(ahead)


def _diverged(store: Store, folder: Path, path: str) -> RefusedError:
    return RefusedError(
        f"{folder / path} and its mirror in {store.address} have gone on apart: this search was continued "
        "from the storage, on another machine; to go on from there, move the folder here away and give "
        f"`{command('resume', store.address)}`; to go on from here, take another `storage:`"
    )


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic_write(file, content)
