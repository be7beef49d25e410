"""What the data of a search are: names, sizes and times of files, and their contents where these are few.

Two fingerprints are compared by `trainables.data.difference`. A task gives its own in `data_fingerprint`.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from trainables.data.threads import in_threads, num_threads

MAX_READ_FILES, MAX_READ_BYTES = 4096, 256 * 2**20
"""Files whose contents are read, and their bytes; of more files these are drawn by a hash of their names."""
LOST = -1
"""Size of a file that is not there, where samples may be lost."""
_CHUNK = 512
_VERSION = b"tune-search data 1"
Content = str | bytes | np.ndarray
Result = TypeVar("Result")


class Stamp(NamedTuple):
    """What is known about a file, or about anything else that data are made of."""

    size: int
    time: int = 0
    """When a file was written, in nanoseconds; 0 where the contents say all."""
    contents: str = ""
    """A hash; empty where the contents were not read."""


class Fingerprint:
    """The things that data are made of, by what they are for, such as `training images`, and by name."""

    def __init__(self, things: Mapping[str, Mapping[str, Stamp]] | None = None) -> None:
        self.things = {what: dict(named) for what, named in (things or {}).items()}

    def __or__(self, other: Fingerprint) -> Fingerprint:
        """The things of both."""
        both = Fingerprint(self.things)
        for what, named in other.things.items():
            both.things.setdefault(what, {}).update(named)
        return both

    def renamed(self, suffix: str) -> Fingerprint:
        """The same things, with this after what they are for."""
        return Fingerprint({what + suffix: named for what, named in self.things.items()})

    @property
    def sha256(self) -> str:
        total = hashlib.sha256()
        for entry in self._entries():
            total.update(entry)
        return total.hexdigest()

    def as_dict(self) -> dict[str, str | int]:
        """How many there are of each, and the hash of all: what a provenance.json holds."""
        return {**{what: len(named) for what, named in sorted(self.things.items())}, "sha256": self.sha256}

    def to_bytes(self) -> bytes:
        """Compressed; `from_bytes` reads it."""
        return gzip.compress(b"\0".join([_VERSION, *self._entries()]), compresslevel=3, mtime=0)

    @classmethod
    def from_bytes(cls, content: bytes) -> Fingerprint:
        """Raises ValueError for what `to_bytes` has not written."""
        try:
            version, *entries = gzip.decompress(content).split(b"\0")
            if version != _VERSION:
                raise ValueError(f"has version {version[-8:]!r}; must be {_VERSION!r}")
            found = cls()
            fields = map(os.fsdecode, entries)
            for what, name, size, time, contents in zip(*[fields] * 5, strict=True):
                found.things.setdefault(what, {})[name] = Stamp(int(size), int(time), contents)
        except (OSError, EOFError) as error:
            raise ValueError(f"cannot be read ({error})") from error
        return found

    def _entries(self) -> Iterator[bytes]:
        for what, named in sorted(self.things.items()):
            for name, stamp in sorted(named.items()):
                yield os.fsencode(f"{what}\0{name}\0{stamp.size}\0{stamp.time}\0{stamp.contents}")


def of_files(
    files: Mapping[str, Iterable[Path | str]], root: Path | None = None, *, contents: bool = False
) -> Fingerprint:
    """The fingerprint of files, by what they are for; one that does not exist has the size `LOST`.

    Args:
        root: names are paths below it, so that the folder can be moved; None keeps them as they are.
        contents: read all of them; else only some where they are many or large.
    """
    located = [(what, os.fspath(file)) for what, named in files.items() for file in named]
    paths = [path for _, path in located]
    states = [state for chunk in _in_chunks(_states, paths) for state in chunk]
    prefix = "" if root is None else f"{root}{os.sep}"
    sizes = [state and state[0] for state in states]
    chosen = range(len(paths)) if contents else _to_read(paths, sizes, prefix)
    hashes = dict(zip(chosen, _in_chunks(_hash, [paths[place] for place in chosen], size=1), strict=True))
    found = Fingerprint()
    for place, ((what, path), state) in enumerate(zip(located, states, strict=True)):
        stamp = Stamp(LOST) if state is None else Stamp(*state, hashes.get(place, ""))
        name = path.removeprefix(prefix)
        found.things.setdefault(what, {})[name] = stamp._replace(time=0) if contents else stamp
    return found


def of_contents(what: str, named: Mapping[str, Content]) -> Fingerprint:
    """The fingerprint of texts, bytes or arrays in memory; of a large array every n-th row is read."""
    return Fingerprint({what: {name: _stamp(content) for name, content in named.items()}})


def _stamp(content: Content) -> Stamp:
    if isinstance(content, np.ndarray):
        total = hashlib.sha256(f"{content.dtype.str} {content.shape}".encode())
        some = content[:: 1 + content.nbytes // MAX_READ_BYTES] if content.ndim else content
        total.update(np.ascontiguousarray(some).tobytes())
        return Stamp(content.nbytes, contents=total.hexdigest()[:32])
    data = content.encode() if isinstance(content, str) else content
    return Stamp(len(data), contents=hashlib.sha256(data).hexdigest()[:32])


def _in_chunks(
    function: Callable[[list[str]], Result], items: list[str], size: int = _CHUNK
) -> Iterator[Result]:
    """Results of the function of each `size` items, computed in threads: a network answers slowly."""
    count = -(-len(items) // size)
    return in_threads(lambda place: function(items[place * size : (place + 1) * size]), count, num_threads())


def _states(paths: list[str]) -> list[tuple[int, int] | None]:
    return [_state(path) for path in paths]


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None  # loading the data reports it
    return found.st_size, found.st_mtime_ns


def _to_read(paths: list[str], sizes: list[int | None], prefix: str) -> list[int]:
    """The files whose contents are read: always the same ones of a folder, wherever it lies."""
    places = [place for place, size in enumerate(sizes) if size is not None]
    if len(places) > MAX_READ_FILES or sum(sizes[place] or 0 for place in places) > MAX_READ_BYTES:
        places.sort(key=lambda place: zlib.crc32(os.fsencode(paths[place].removeprefix(prefix))))
    chosen, left = list[int](), MAX_READ_BYTES
    for place in places[:MAX_READ_FILES]:
        left -= sizes[place] or 0
        if left < 0:
            break
        chosen.append(place)
    return chosen


def _hash(paths: list[str]) -> str:
    try:
        with open(paths[0], "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError:
        return ""
