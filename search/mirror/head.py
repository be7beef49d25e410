"""What a driver has mirrored of its run: a head that names every piece with its hash, written last.

A session has a folder of its own, `driver/000003/`, which nobody else writes: a driver that was overtaken
while it stood still damages nothing. A journal is in segments, as no object can be appended to. No object is
written over, so that a head has all its pieces whenever its driver dies.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import NamedTuple

from search.errors import SearchError
from search.mirror.claim import newest_session
from trainables.storage.store import Store

VERSION = 1
_HEAD = "head.json"


class MissingPieceError(SearchError):
    """A piece of the mirror is not there; if it was replaced meanwhile, there is another head."""


class Segment(NamedTuple):
    """The bytes of a journal from `start` to `end`."""

    start: int
    end: int
    sha256: str


@dataclass
class Head:
    """The pieces of a session's mirror."""

    session: int
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file by its path in the run's folder."""
    journals: dict[str, list[Segment]] = field(default_factory=dict)
    """The segments of each journal, in order and without a gap."""

    def write(self, store: Store) -> None:
        content = {"version": VERSION, "session": self.session, "files": self.files}
        store.write(
            f"{folder_of(self.session)}/{_HEAD}",
            json.dumps(content | {"journals": self.journals}, indent=1).encode(),
        )

    def file_name(self, path: str) -> str:
        return f"{folder_of(self.session)}/{path}/{self.files[path][:16]}"

    def segment_name(self, journal: str, segment: Segment) -> str:
        return f"{folder_of(self.session)}/{journal}/{segment.start:012d}-{segment.end:012d}"

    def file(self, store: Store, path: str) -> bytes:
        """The content of a file.

        Raises:
            SearchError: it is not what was written.
        """
        return _verified(store, self.file_name(path), self.files[path])

    def journal(self, store: Store, path: str) -> bytes:
        """The whole of a journal, as far as it was mirrored.

        Raises:
            SearchError: it is not what was written.
        """
        pieces, end = [], 0
        for segment in self.journals[path]:
            piece = _verified(store, self.segment_name(path, segment), segment.sha256)
            if segment.start != end or len(piece) != segment.end - segment.start:
                raise SearchError(f"{store.address}: {path} has a gap at byte {end}; its mirror is damaged")
            pieces.append(piece)
            end = segment.end
        return b"".join(pieces)


def folder_of(session: int) -> str:
    return f"driver/{session:06d}"


def read_head(store: Store) -> Head | None:
    """The head of the newest session that has one; None if no search was mirrored there.

    Raises:
        SearchError: it cannot be read.
    """
    for session in range(newest_session(store), 0, -1):
        name = f"{folder_of(session)}/{_HEAD}"
        try:
            said = json.loads(store.read(name))
            if said["version"] != VERSION:
                raise SearchError(
                    f"{store.address} has version {said['version']} of the mirror's format and this program "
                    f"reads version {VERSION}; use the version of tune-search that wrote it"
                )
            journals = {path: [Segment(*each) for each in found] for path, found in said["journals"].items()}
            return Head(session, dict(said["files"]), journals)
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SearchError(
                f"{store.address}/{name} is damaged ({type(error).__name__}: {error})"
            ) from error
    return None


def _verified(store: Store, name: str, sha256: str) -> bytes:
    try:
        content = store.read(name)
    except FileNotFoundError as error:
        raise MissingPieceError(f"{store.address}/{name} is missing: the mirror is damaged") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SearchError(
            f"{store.address}/{name} is damaged: its SHA-256 is {found[:12]}…, and {sha256[:12]}… was written"
        )
    return content
