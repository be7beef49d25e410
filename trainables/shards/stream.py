"""Shards that can only be read from front to back: compressed ones, and pipes."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from trainables.shards.order import SHARDS
from trainables.shards.sample import Sample
from trainables.shards.tar import ShardError, TruncatedShardError, groups

MAX_SAMPLE = 2**31
"""Bytes of one sample, which is in memory as a whole."""


class ShardDataset(IterableDataset[Any]):
    """The samples of shards without an index, whose number is not known: what a task may return as it is.

    Each worker reads its part of the shards, in the order that `set_epoch` gave; a `.gz` is unpacked on the
    way. A file that can be read from any place needs none of this, see ShardSource: resuming is instant
    there, and here it takes as long as reading what came before.

    Args:
        shards: tar files, .tar.gz files or pipes.
        decode: takes a sample and gives what is collated into a batch; for workers a function of a module.
        seed: of the order of the shards.

    Raises:
        ShardError: while iterating, naming the shard and the last sample that could be read.
    """

    def __init__(self, shards: Sequence[Path], decode: Callable[[Sample], Any], *, seed: int = 0) -> None:
        self._shards, self._decode, self._seed, self._number = list(shards), decode, seed, 0

    def set_epoch(self, number: int) -> None:
        """The next iteration is epoch `number`, from 0."""
        self._number = number

    def __iter__(self) -> Iterator[Any]:
        order = np.random.default_rng([self._seed, SHARDS, self._number]).permutation(len(self._shards))
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for shard in order[first::step]:
            yield from map(self._decode, read_forward(self._shards[shard]))


def read_forward(shard: Path) -> Iterator[Sample]:
    """The samples of one shard, one after another."""
    key, where = "", str(shard)
    try:
        with shard.open("rb") as file:
            content: Any = gzip.GzipFile(fileobj=file) if shard.suffix in (".gz", ".tgz") else file
            window = _Window(content, where)
            for group in groups(window.read, where):
                contents = {
                    extension: window.read(member.data, member.size)
                    for extension, member in group.members.items()
                }
                window.forget(group.end)
                key = group.key
                yield Sample(where, key, contents)
    except (TruncatedShardError, EOFError) as error:
        last = f"the last whole sample is {key}" if key else "no sample is whole"
        raise TruncatedShardError(f"{where}: ends too early ({error}); {last}: copy it again") from error
    except OSError as error:
        raise ShardError(f"{where}: cannot be read ({error})") from error


class _Window:
    """What has been read of a file and is not forgotten yet."""

    def __init__(self, file: Any, where: str) -> None:
        self._file, self._where = file, where
        self._start, self._bytes = 0, bytearray()

    def read(self, offset: int, size: int) -> bytes:
        """As `Read`, for offsets that are not forgotten."""
        missing = offset + size - self._start - len(self._bytes)
        if offset + size - self._start > MAX_SAMPLE:
            raise ShardError(
                f"{self._where}: has a sample of more than {MAX_SAMPLE} bytes at byte {self._start}"
            )
        while missing > 0:
            more = self._file.read(min(missing, 2**20))
            if not more:
                break
            self._bytes += more
            missing -= len(more)
        begin = offset - self._start
        return bytes(self._bytes[begin : begin + size])

    def forget(self, offset: int) -> None:
        """All before an offset."""
        del self._bytes[: offset - self._start]
        self._start = offset
