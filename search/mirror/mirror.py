"""The mirror of a run in a storage, which its driver writes while the search runs.

What is read again when the search goes on elsewhere is there within `EVERY_SECONDS` and the time of two
writes. A checkpoint is there before the report that tells of it, as its worker uploads it first; so nothing
that the mirrored journal tells is missing. Checkpoints are removed only after the journal that no longer
needs them was mirrored, see `flush`.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Lock, Thread

from search.mirror.claim import Claim
from search.mirror.head import Head, Segment
from search.study.journal import OvertakenError
from search.study.study import JOURNAL
from trainables.storage.errors import StorageError
from trainables.storage.store import Store

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
HEARTBEAT_SECONDS = 10.0
MOST_SEGMENTS = 32
"""Of a journal, before the last ones become one."""
_NOT_MIRRORED = (JOURNAL, "search.log")
"""The journal is in segments; the log is of this machine."""


class Mirror:
    """Follows the files of a run's folder in a thread of its own.

    Args:
        store: of the run.
        claim: of this driver.
        folder: of the run on this machine.
    """

    def __init__(self, store: Store, claim: Claim, folder: Path) -> None:
        self.store, self._claim, self._folder = store, claim, folder
        self._head = Head(claim.session)
        self._sent: dict[str, tuple[int, int]] = {}
        self.broken: Exception | None = None
        """What keeps it from being written; an OvertakenError, also the run."""
        self._begun, self._over, self._lock = False, Event(), Lock()
        self._thread = Thread(target=self._follow, name="mirror", daemon=True)

    def begin(self) -> None:
        """Mirror what is there, and follow it from now on."""
        self._begun = True
        self.flush()
        self._remove_older()
        self._thread.start()

    def flush(self) -> None:
        """Return when all that is in the folder now is mirrored.

        Raises:
            OvertakenError: a newer session has begun; nothing was written.
            StorageError: the storage refuses, or has not answered for long.
        """
        with self._lock:
            if self._changed():
                self._claim.require_latest()
                replaced = [*self._send_files(), *self._send_journals()]
                self._head.write(self.store)
                self.store.remove(replaced)

    def close(self) -> None:
        """Stop following; what is there is mirrored if that is possible.

        Of a session that has not begun nothing is: its folder was refused, or is not yet what the mirror has.
        """
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            if self.broken is None:
                if self._begun:
                    self.flush()
                self._claim.release()
                return
        except (OvertakenError, StorageError, OSError) as error:
            self.broken = error
            raise
        finally:
            if self.broken is not None:
                self._claim.leave()

    def _follow(self) -> None:
        beat = time.monotonic()
        while not self._over.wait(EVERY_SECONDS):
            try:
                self.flush()
                if time.monotonic() - beat >= HEARTBEAT_SECONDS:
                    self._claim.beat()
                    beat = time.monotonic()
            except (OvertakenError, StorageError, OSError) as error:
                log.error("%s", error)
                self.broken = error
                return

    def _changed(self) -> bool:
        return any(self._state(file) != self._sent.get(path) for path, file in self._files())

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Files of the run, its stages and its race by their paths in the folder; not those of trials."""
        folders = (self._folder, *sorted(self._folder.glob("stages/*")), self._folder / "confirm")
        for folder in folders:
            for file in sorted(folder.glob("[!.]*")):
                if file.is_file() and (file.name == JOURNAL or file.name not in _NOT_MIRRORED):
                    yield file.relative_to(self._folder).as_posix(), file

    @staticmethod
    def _state(file: Path) -> tuple[int, int] | None:
        try:
            status = file.stat()
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns

    def _send_files(self) -> Iterator[str]:
        """Names of the objects that the new ones replace."""
        for path, file in list(self._files()):
            state = self._state(file)
            if file.name == JOURNAL or state is None or state == self._sent.get(path):
                continue
            content = file.read_bytes()
            before = self._head.file_name(path) if path in self._head.files else None
            self._head.files[path] = hashlib.sha256(content).hexdigest()
            name = self._head.file_name(path)
            self.store.write(name, content)
            self._sent[path] = state
            if before is not None and before != name:
                yield before

    def _send_journals(self) -> Iterator[str]:
        """Names of segments that the new ones replace."""
        for path, file in list(self._files()):
            if file.name == JOURNAL:
                state = self._state(file)
                yield from self._send_journal(path, file)
                if state is not None:
                    self._sent[path] = state

    def _send_journal(self, path: str, file: Path) -> Iterator[str]:
        segments = self._head.journals.setdefault(path, [])
        start = segments[-1].end if segments else 0
        with file.open("rb") as opened:
            opened.seek(start)
            # A line that is being written comes with the next one.
            new = opened.read()
            new = new[: new.rfind(b"\n") + 1]
            if not new:
                return
            segments.append(self._send_segment(path, start, new))
            if len(segments) < MOST_SEGMENTS:
                return
            first = _first_to_merge(segments)
            opened.seek(segments[first].start)
            merged = opened.read(segments[-1].end - segments[first].start)
            replaced = segments[first:]
            segments[first:] = [self._send_segment(path, segments[first].start, merged)]
            yield from (self._head.segment_name(path, each) for each in replaced)

    def _send_segment(self, path: str, start: int, content: bytes) -> Segment:
        segment = Segment(start, start + len(content), hashlib.sha256(content).hexdigest())
        self.store.write(self._head.segment_name(path, segment), content)
        return segment

    def _remove_older(self) -> None:
        """What earlier sessions have mirrored: this one has all of it."""
        older = (name for name in self.store.names("driver") if _session_of(name) < self._claim.session)
        self.store.remove(sorted(older))


def _first_to_merge(segments: list[Segment]) -> int:
    """The first that is no larger than all after it: so each byte is written again a few times at most."""
    end = segments[-1].end
    fits = (i for i, each in enumerate(segments) if each.end - each.start <= end - each.end)
    return next(fits, len(segments) - 2)


def _session_of(name: str) -> int:
    number = name.removeprefix("driver/").partition("/")[0]
    return int(number) if number.isdecimal() else 0
