"""The file behind the study: whole lines, synced, not torn by a kill or by a full disk."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock, get_lock_file

from search.errors import SearchError

log = logging.getLogger(__name__)


class JournalWriteError(SearchError):
    """The journal could not be written; what it held before is intact."""


class Journal(JournalFileBackend):
    """Optuna's journal file, with several entries in one write where they belong together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._together: list[dict[str, Any]] | None = None
        super().__init__(str(path), lock_obj=_ProcessLock(path))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is appended inside in one piece at the end, with one sync; nothing if an error comes.

        Readers make do with the first lines alone too: a power cut can still leave those.
        """
        assert self._together is None
        self._together = []
        try:
            yield
            entries, self._together = self._together, None
            self.append_logs(entries)
        finally:
            self._together = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._together is not None:
            self._together += logs
            return
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
        try:
            with get_lock_file(self._lock):
                _append(self._path, "".join(lines).encode())
        except OSError as error:
            raise JournalWriteError(f"cannot write {self._path}: {error.strerror}") from error


def _append(path: Path, data: bytes) -> None:
    """All of it, synced, or nothing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def open_journal(path: Path) -> tuple[JournalStorage, Journal]:
    """The storage over a journal, which is made if it is not there.

    Raises:
        SearchError: it is damaged, or cannot be made.
    """
    try:
        with damage_named(path):
            journal = Journal(path)
            return JournalStorage(journal), journal
    except OSError as error:
        raise SearchError(f"cannot open {path}: {error.strerror}") from error


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Say of what fails inside, which reads a journal, that the journal is damaged.

    Raises:
        SearchError: always instead of what was raised.
    """
    try:
        yield
    except (
        SearchError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        RecursionError,
    ) as error:
        what = str(error) if isinstance(error, SearchError) else f"{type(error).__name__}: {error}"
        advice = f"`tune-search verify {path.parent}` says where"
        raise SearchError(f"{path} is damaged and cannot be read ({what}); {advice}") from error


def drop_half_line(path: Path) -> None:
    """Cut a journal back to its last whole entry: a process was killed while it appended."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    last = content.rfind(b"\n", 0, max(0, whole - 1)) + 1
    if whole == len(content) and not _is_entry(content[last:whole]):
        whole = last
    if whole < len(content):
        log.warning("%s ended in half a line of %d bytes, which is dropped", path, len(content) - whole)
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())


def _is_entry(line: bytes) -> bool:
    try:
        return not line or isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


class _ProcessLock(BaseJournalFileLock):
    """A lock on the journal itself, which the kernel releases when its holder dies.

    Optuna's own, a file beside it, would stay for 30 s.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        # Not made here: a journal that was removed while in use must not begin again in its middle.
        self._descriptor = os.open(self._path, os.O_RDWR)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
