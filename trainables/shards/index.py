"""Where each sample of each shard begins: found once by reading headers, kept in a file beside the shard."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainables.files import atomic_write
from trainables.shards.tar import BLOCK, Read, ShardError, TruncatedShardError, groups

log = logging.getLogger(__name__)

INDEX_VERSION = 1
INDEX_SUFFIX = ".idx"


@dataclass(frozen=True, kw_only=True)
class ShardOffsets:
    """The samples of one shard."""

    starts: np.ndarray
    """Offset of each sample's first header: int64 [N]."""
    sizes: np.ndarray
    """Bytes of each sample, headers included: int64 [N]."""
    damage: str = ""
    """How the shard ends too early; empty if it is whole."""


class ShardIndex:
    """The samples of many shards, numbered through in the order of the files.

    It holds 16 bytes a sample, as arrays that many processes can share.
    """

    def __init__(
        self, files: Sequence[str], firsts: np.ndarray, starts: np.ndarray, sizes: np.ndarray
    ) -> None:
        self.files = tuple(files)
        self.firsts = firsts
        """Number of the first sample of each shard, and the number of samples: int64 [shards + 1]."""
        self._starts, self._sizes = starts, sizes

    def __len__(self) -> int:
        return len(self._starts)

    def place(self, number: int) -> tuple[str, int, int]:
        """File, offset and bytes of a sample."""
        shard = int(np.searchsorted(self.firsts, number, side="right")) - 1
        return self.files[shard], int(self._starts[number]), int(self._sizes[number])

    def joined(self, other: ShardIndex) -> ShardIndex:
        """The samples of both, the other's after these."""
        return ShardIndex(
            [*self.files, *other.files],
            np.concatenate([self.firsts, other.firsts[1:] + len(self)]),
            np.concatenate([self._starts, other._starts]),
            np.concatenate([self._sizes, other._sizes]),
        )

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        """For a task's `load_data`, so that all trials of a machine share it."""
        return {
            f"{part}_shards": np.array(self.files, np.str_),
            f"{part}_firsts": self.firsts,
            f"{part}_starts": self._starts,
            f"{part}_sizes": self._sizes,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], part: str) -> ShardIndex:
        """What `as_arrays` gave."""
        files = [str(file) for file in arrays[f"{part}_shards"]]
        return cls(files, arrays[f"{part}_firsts"], arrays[f"{part}_starts"], arrays[f"{part}_sizes"])


def index_shards(shards: Iterable[Path], *, skip_damaged: bool = False) -> tuple[ShardIndex, dict[str, str]]:
    """The index of these shards, from the files beside them where they are right, else made and written anew.

    Where a folder cannot be written, an index is kept in the cache of the user ($XDG_CACHE_HOME).

    Args:
        shards: tar files, not compressed.
        skip_damaged: take of a shard that ends too early what is whole of it.

    Returns:
        The index, and by file how shards of which a part is skipped end.

    Raises:
        ShardError: naming a shard that is no tar file, or ends too early, or that there is no sample at all.
    """
    files, counts, parts, damaged = [], [0], [], {}
    for shard in shards:
        offsets = offsets_of(shard)
        if offsets.damage:
            if not skip_damaged:
                raise TruncatedShardError(f"{offsets.damage}: copy it again, or set bad_samples: skip")
            damaged[str(shard)] = offsets.damage.removeprefix(f"{shard}: ")
            log.warning("%s; what comes after that is skipped", offsets.damage)
        files.append(str(shard))
        counts.append(len(offsets.starts))
        parts.append(offsets)
    if not sum(counts):
        named = ", ".join(files[:3]) or "no shard"
        raise ShardError(f"{named}: there is no sample; members are named by key and extension, as 0001.jpg")
    starts = np.concatenate([part.starts for part in parts])
    sizes = np.concatenate([part.sizes for part in parts])
    return ShardIndex(files, np.cumsum(counts, dtype=np.int64), starts, sizes), damaged


def offsets_of(shard: Path) -> ShardOffsets:
    """Of one shard, from its index file if that fits; else all headers are read, and the index is written."""
    places = [shard.with_name(shard.name + INDEX_SUFFIX), _cached(shard)]
    with _opened(shard) as file:
        for place in places:
            offsets = _load(place, file)
            if offsets is not None:
                return offsets
        offsets = scan(file, str(shard))
        for place in places:
            if write_index(place, offsets, file):
                break
    return offsets


def scan(file: Any, where: str) -> ShardOffsets:
    """Find the samples of an open file; only headers are read.

    Raises:
        ShardError: the file is no tar file, or has something that a shard may not have.
    """
    starts, ends, damage = list[int](), list[int](), ""
    keys: dict[str, None] = {}
    try:
        for group in groups(_reader(file), where):
            if group.key in keys:
                raise ShardError(
                    f"{where}: members of sample {group.key} do not stand together; "
                    "write the shard with sorted names, as tar --sort=name does"
                )
            keys[group.key] = None
            starts.append(group.start)
            ends.append(group.end)
    except TruncatedShardError as error:
        last = f"the last whole sample is {next(reversed(keys))}" if keys else "no sample is whole"
        damage = f"{error}; {last}, number {len(keys)}"
    begin, end = np.array(starts, np.int64), np.array(ends, np.int64)
    return ShardOffsets(starts=begin, sizes=end - begin, damage=damage)


def write_index(place: Path, offsets: ShardOffsets, file: Any) -> bool:
    """Write an index file whole or not at all; whether that was possible."""
    content = {
        "version": INDEX_VERSION,
        "samples": len(offsets.starts),
        "bytes": os.fstat(file.fileno()).st_size,
        "headers": _fingerprint(offsets.starts, file),
        "damage": offsets.damage,
        "starts": offsets.starts.tolist(),
        "sizes": offsets.sizes.tolist(),
    }
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(place, json.dumps(content), many_writers=True)
    except OSError as error:
        log.info("%s cannot be written (%s)", place, error)
        return False
    return True


def _load(place: Path, file: Any) -> ShardOffsets | None:
    """What an index file says, unless it is missing, damaged, or of another shard than the open one."""
    try:
        content = json.loads(place.read_bytes())
        starts = np.array(content["starts"], np.int64)
        sizes = np.array(content["sizes"], np.int64)
        num_bytes, damage = os.fstat(file.fileno()).st_size, content["damage"]
        fits = (
            (content["version"], content["bytes"]) == (INDEX_VERSION, num_bytes)
            and starts.ndim == 1
            and starts.shape == sizes.shape
            and isinstance(damage, str)
            and _in_order(starts, sizes, num_bytes)
            and content["headers"] == _fingerprint(starts, file)
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        log.warning("%s: is no index (%s); it is made anew", place, error)
        return None
    if not fits:
        log.warning("%s: is not of this shard; it is made anew", place)
        return None
    return ShardOffsets(starts=starts, sizes=sizes, damage=damage)


def _in_order(starts: np.ndarray, sizes: np.ndarray, num_bytes: int) -> bool:
    if not len(starts):
        return True
    ends = starts + sizes
    inside = bool(starts[0] >= 0 and ends[-1] <= num_bytes and (sizes >= BLOCK).all())
    return inside and bool((starts[1:] >= ends[:-1]).all() and (starts % BLOCK == 0).all())


def _fingerprint(starts: np.ndarray, file: Any) -> str:
    """Of the headers of the first and the last sample: they tell two shards of one length apart."""
    ends = [] if not len(starts) else [int(starts[0]), int(starts[-1])]
    return hashlib.sha256(b"".join(os.pread(file.fileno(), BLOCK, start) for start in ends)).hexdigest()


def _cached(shard: Path) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(str(shard.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache / "tune-search" / "shards" / f"{name}{INDEX_SUFFIX}"


def _opened(shard: Path) -> Any:
    if not shard.is_file():  # A named pipe would be waited for without end.
        what = "is no regular file, so it has no index" if shard.exists() else "there is no such file"
        raise ShardError(f"{shard}: {what}")
    try:
        return shard.open("rb", buffering=0)
    except OSError as error:
        raise ShardError(f"{shard}: cannot be read ({error.strerror})") from error


def _reader(file: Any) -> Read:
    return lambda offset, size: os.pread(file.fileno(), size, offset)
