"""The file behind the study: whole lines, synced, not torn by a kill or by a full disk."""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import sys
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.storages.journal._storage import JournalOperation

from search.errors import SearchError
from search.text import command

log = logging.getLogger(__name__)


NOTHING_TO_DO = "nothing is to be done here; if no other search runs, start this again"
"""For whoever is overtaken by a search that goes on with the same study."""


class JournalWriteError(SearchError):
    """The journal could not be written; what it held before is intact."""


class OvertakenError(JournalWriteError):
    """Another search goes on with the study: this one writes nothing more, there or elsewhere in the run."""


SESSION = "session"
"""Attribute of the study: `number` of the session that writes it, and the process that it runs `by`."""


def this_process() -> str:
    """This process, as the entry of its session names it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def next_session(attributes: Mapping[str, Any]) -> int:
    """How often a search has begun or gone on with a study of these attributes, now included."""
    before = attributes.get(SESSION)
    return 1 + (int(before.get("number", 0)) if isinstance(before, dict) else 0)


class Journal(BaseJournalBackend):
    """Optuna's journal file, with several entries in one write where they belong together.

    It needs no lock: one search at a time owns a run's folder, and an append is one system call. Others may
    read it meanwhile. Where the lock of the folder ends at a machine, a search on another one may write all
    the same: each begins with an entry of its session, and who finds a later one of somebody else stops.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[dict[str, Any]] | None = None
        self._number, self._offset = 0, 0
        """Entries that have been read, and where the next one begins."""
        self._begun: list[dict[str, Any]] = []
        """The entry of this session, until it is written."""
        self._writer, self._known = uuid.uuid4().hex, math.inf
        """Whose sessions are those of this object, and entries that were there before its own."""
        self._later: dict[str, Any] | None = None
        """The session of somebody else that came later."""
        if not path.exists():
            path.touch()

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The entries from that number on.

        The last one is left for later while it is incomplete, since another process may be writing it.
        Optuna's own reader keeps the position of each entry, and each key of each entry as its own text.

        Raises:
            ValueError: an entry before the last one cannot be read.
        """
        if log_number_from < self._number:
            self._number = self._offset = 0
        size = os.stat(self._path).st_size
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                end = self._offset + len(line)
                if end > size:
                    return
                try:
                    entry = _entry(line)
                except ValueError:
                    if end < size:
                        raise
                    return
                self._number, self._offset = self._number + 1, end
                if self._number > self._known:
                    self._heed(entry)
                if self._number > log_number_from:
                    yield entry

    def begin_session(self, study_id: int, number: int) -> None:
        """This is session `number` from now on, which is written before whatever is appended next."""
        attribute = {SESSION: {"number": number, "by": this_process()}}
        operation = int(JournalOperation.SET_STUDY_USER_ATTR)
        ids = {"op_code": operation, "worker_id": self._writer, "study_id": study_id}
        self._begun, self._known = [{**ids, "user_attr": attribute}], self._number
        self._later = None

    def write_session(self) -> None:
        """Write the entry of this session, if nothing has been appended since it began.

        Raises:
            OvertakenError: a later one has begun.
        """
        if self._begun:
            self.append_logs([])
        else:
            self._require_latest()

    def _heed(self, entry: Mapping[str, Any]) -> None:
        found = entry.get("user_attr", {}).get(SESSION)
        if isinstance(found, dict) and self._known < math.inf:  # else no session writes here
            self._later = None if entry.get("worker_id") == self._writer else found

    def _require_latest(self) -> None:
        """Raise OvertakenError if somebody else's session is later, also one that was not read yet."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if SESSION.encode() in line:
                    with suppress(ValueError):
                        self._heed(_entry(line))
        if self._later is not None:
            raise OvertakenError(
                f"session {self._later.get('number')} of this search ({self._later.get('by')}) has begun "
                f"elsewhere, and writes {self._path}; this one stops, and writes nothing more: "
                f"{NOTHING_TO_DO}"
            )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write what is appended inside as one piece at the end, with one sync; nothing after an error.

        A power cut can still leave only its first lines, which readers accept.
        """
        assert self._pending is None
        self._pending = []
        try:
            yield
            entries, self._pending = self._pending, None
            self.append_logs(entries)
        finally:
            self._pending = None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._pending is not None:
            self._pending += logs
            return
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in (*self._begun, *logs)]
        try:
            self._require_latest()
            _append(self._path, "".join(lines).encode())
            self._begun = []
        except OSError as error:
            raise JournalWriteError(f"cannot write {self._path}: {error.strerror}") from error


def _entry(line: bytes) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("Invalid log format.")
    return json.loads(line, object_pairs_hook=_with_shared_keys)


def _with_shared_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(key): value for key, value in pairs}


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
    """The storage over a journal, which is created if missing.

    Raises:
        SearchError: it is damaged, or cannot be created.
    """
    try:
        with reraise_as_damaged(path):
            journal = Journal(path)
            return JournalStorage(journal), journal
    except OSError as error:
        raise SearchError(f"cannot open {path}: {error.strerror}") from error


def storage_at(path: Path | None) -> tuple[BaseStorage, Journal | None]:
    """The storage that a search writes, and the journal below it.

    Args:
        path: the journal, see `open_journal`; None for a storage in memory.
    """
    if path is None:
        return InMemoryStorage(), None
    drop_half_line(path)
    return open_journal(path)


@contextmanager
def reraise_as_damaged(path: Path) -> Iterator[None]:
    """Raise errors of code that reads a journal as a SearchError: the journal is damaged."""
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
        advice = f"`{command('verify', path.parent)}` says where"
        raise SearchError(f"{path} is damaged and cannot be read ({what}); {advice}") from error


def drop_half_line(path: Path) -> None:
    """Cut a journal back to its last complete entry, after a process was killed while appending."""
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
