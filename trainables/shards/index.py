"""Where the members of each sample begin: found once by reading headers, kept in a file next to the shard."""

from __future__ import annotations

import hashlib
import io
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainables.files import atomic_write
from trainables.process.places import make_home_known
from trainables.shards.scan import (
    ShardContents,
    ShardError,
    TruncatedShardError,
    decoded,
    header_sums,
    scan,
)

log = logging.getLogger(__name__)

INDEX_VERSION = 3
"""A numpy archive; versions 1 and 2 were JSON."""
INDEX_SUFFIX = ".idx"


class ShardIndex:
    """The samples of many shards, numbered through in the order of the files.

    It holds 8 bytes, the key, and for each member 20 bytes and the extension of a sample, as arrays that many
    processes can share.
    """

    def __init__(
        self,
        files: Sequence[str],
        firsts: np.ndarray,
        keys: np.ndarray,
        bounds: np.ndarray,
        members: np.ndarray,
    ) -> None:
        self.files = tuple(files)
        self.firsts = firsts
        """Number of the first sample of each shard, and the number of samples: int64 [shards + 1]."""
        self._keys = keys
        self._bounds = bounds
        """Place of each sample's first member in `_members`, and their number: int64 [samples + 1]."""
        self._members = members

    def __len__(self) -> int:
        return len(self._keys)

    def place(self, number: int) -> tuple[str, str, np.ndarray]:
        """File and key of a sample, and its members (see ShardContents)."""
        shard = int(np.searchsorted(self.firsts, number, side="right")) - 1
        members = self._members[self._bounds[number] : self._bounds[number + 1]]
        return self.files[shard], decoded(self._keys[number]), members

    def hashes(self) -> dict[str, str]:
        """By shard a hash of names, sizes and headers of its members."""
        found = {}
        for shard, file in enumerate(self.files):
            first, end = self.firsts[shard : shard + 2].tolist()
            total = hashlib.sha256(self._keys[first:end].tobytes())
            total.update(self._members[self._bounds[first] : self._bounds[end]].tobytes())
            found[file] = total.hexdigest()[:32]
        return found

    def joined(self, other: ShardIndex) -> ShardIndex:
        """The samples of both, the other's after these."""
        return ShardIndex(
            [*self.files, *other.files],
            np.concatenate([self.firsts, other.firsts[1:] + len(self)]),
            np.concatenate([self._keys, other._keys]),
            np.concatenate([self._bounds, other._bounds[1:] + len(self._members)]),
            np.concatenate([self._members, other._members]),
        )

    def keys(self) -> list[str]:
        """The name of each sample."""
        return [decoded(key) for key in self._keys.tolist()]

    def taken(self, numbers: np.ndarray) -> ShardIndex:
        """These samples alone, int64, ascending; a shard may be left without any."""
        shards = np.searchsorted(self.firsts, numbers, side="right") - 1
        counts = np.diff(self._bounds)[numbers]
        bounds = _bounds(counts)
        members = np.repeat(self._bounds[numbers] - bounds[:-1], counts) + np.arange(bounds[-1])
        return ShardIndex(
            self.files,
            _bounds(np.bincount(shards, minlength=len(self.files))),
            self._keys[numbers],
            bounds,
            self._members[members],
        )

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        """For a task's `load_data`, so that all trials of a machine share it."""
        return {
            f"{part}_shards": np.array(self.files, np.str_),
            f"{part}_firsts": self.firsts,
            f"{part}_keys": self._keys,
            f"{part}_bounds": self._bounds,
            f"{part}_members": self._members,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], part: str) -> ShardIndex:
        """The index that `as_arrays` gave."""
        files = [str(file) for file in arrays[f"{part}_shards"]]
        return cls(files, *(arrays[f"{part}_{name}"] for name in ("firsts", "keys", "bounds", "members")))


def index_shards(shards: Iterable[Path], *, skip_damaged: bool = False) -> tuple[ShardIndex, dict[str, str]]:
    """The index of these shards, from the files next to them if valid, else rebuilt and written.

    Where a folder cannot be written, an index is kept in the cache of the user ($XDG_CACHE_HOME).

    Args:
        shards: tar files, not compressed.
        skip_damaged: use the complete samples of a truncated shard.

    Returns:
        The index, and by file how shards of which a part is skipped end.

    Raises:
        ShardError: naming a shard that is no tar file, or ends too early, or that there is no sample at all.
    """
    files, parts, damaged = list[str](), list[ShardContents](), dict[str, str]()
    for shard in shards:
        contents = contents_of(shard)
        if contents.damage:
            if not skip_damaged:
                raise TruncatedShardError(f"{contents.damage}: copy it again, or set bad_samples: skip")
            damaged[str(shard)] = contents.damage.removeprefix(f"{shard}: ")
            log.warning("%s; what comes after that is skipped", contents.damage)
        files.append(str(shard))
        parts.append(contents)
    if not any(len(part.keys) for part in parts):
        named = ", ".join(files[:3]) or "no shard"
        raise ShardError(
            f"{named}: there is no sample; members are named by key and extension, such as 0001.jpg"
        )
    index = ShardIndex(
        files,
        _bounds([len(part.keys) for part in parts]),
        np.concatenate([part.keys for part in parts]),
        _bounds(np.concatenate([part.counts for part in parts])),
        np.concatenate([part.members for part in parts]),
    )
    return index, damaged


def contents_of(shard: Path) -> ShardContents:
    """What is in one shard, from its index file if that fits; else it is scanned, and an index is written."""
    places = [shard.with_name(shard.name + INDEX_SUFFIX), _cached(shard)]
    try:
        with shard.open("rb", buffering=0) as file:
            for place in places:
                contents = _load(place, file)
                if contents is not None:
                    return contents
            contents = scan(file, str(shard))
            for place in places:
                if _write(place, contents, file):
                    break
    except OSError as error:
        raise ShardError(f"{shard}: cannot be read ({error.strerror})") from error
    return contents


def _bounds(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _write(place: Path, contents: ShardContents, file: BinaryIO) -> bool:
    """Write an index file whole or not at all; whether that was possible."""
    content = io.BytesIO()
    np.savez(content, version=INDEX_VERSION, bytes=os.fstat(file.fileno()).st_size, **vars(contents))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(place, content.getvalue(), many_writers=True)
    except OSError as error:
        log.info("%s cannot be written (%s)", place, error)
        return False
    return True


def _load(place: Path, file: BinaryIO) -> ShardContents | None:
    """What an index file says, unless it is missing, damaged, or of another shard than the open one."""
    try:
        saved = np.load(io.BytesIO(place.read_bytes()), allow_pickle=False)
        version, num_bytes = int(saved["version"]), int(saved["bytes"])
        contents = ShardContents(
            keys=saved["keys"],
            counts=saved["counts"],
            members=saved["members"],
            damage=str(saved["damage"]),
        )
        if len(contents.keys) != len(contents.counts) or len(contents.members) != contents.counts.sum():
            raise ValueError("its lengths differ")
        matches = num_bytes == os.fstat(file.fileno()).st_size and _fits(contents.members, file)
    except FileNotFoundError:
        return None
    # A damaged archive makes numpy and zipfile raise almost anything; whatever it is, the index is rebuilt.
    except Exception as error:
        log.warning("%s: is not an index, or has another version (%s); it is rebuilt", place, error)
        return None
    if version != INDEX_VERSION:
        log.warning("%s: is an index with another version; it is rebuilt", place)
        return None
    if not matches:
        log.warning("%s: does not belong to this shard; it is rebuilt", place)
        return None
    return contents


def _fits(members: np.ndarray, file: BinaryIO) -> bool:
    """Whether the first and the last header are those of the index: two shards may be of one length."""
    ends = members[[0, -1]] if len(members) else members
    return header_sums(file, ends["offset"].tolist()) == ends["header"].tolist()


def _cached(shard: Path) -> Path:
    make_home_known()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(shard.resolve())).hexdigest()
    return cache / "tune-search" / "shards" / f"{name}{INDEX_SUFFIX}"
