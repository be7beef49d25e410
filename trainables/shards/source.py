"""Random access to samples of shards, from any process."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trainables.data.source import Batch
from trainables.shards.index import ShardIndex
from trainables.shards.order import BlockOrder
from trainables.shards.sample import Sample
from trainables.shards.scan import BLOCK, ShardError, decoded


class ShardReader:
    """Reads samples by number, in any process or thread."""

    def __init__(self, index: ShardIndex) -> None:
        self.index = index

    def read(self, number: int) -> Sample:
        """One sample, whole.

        Raises:
            ShardError: naming shard and sample, if the shard is not what it was when its index was made.
        """
        where, key, members = self.index.place(number)
        contents = {}
        try:
            with open(where, "rb", buffering=0) as file:
                for extension, offset, size, header in members.tolist():
                    # In one read with the header before it, which is compared.
                    data = os.pread(file.fileno(), BLOCK + size, offset - BLOCK)
                    if len(data) < BLOCK + size:
                        raise ShardError(
                            f"{where}: ends before sample {key}; it was longer when its index was made"
                        )
                    if zlib.crc32(data[:BLOCK]) != header:
                        raise ShardError(
                            f"{where}: has changed since its index was made, at byte {offset - BLOCK} "
                            f"(sample {key}); remove its .idx and resume with the same data"
                        )
                    contents[decoded(extension)] = data[BLOCK:]
        except OSError as error:
            raise ShardError(f"{where}: cannot be read ({error.strerror})") from error
        return Sample(where, key, contents)


class ShardSource:
    """A BatchSource of shards, for a custom task, which passes a function that decodes samples.

    Training draws it in an order in which `shuffle` samples are mixed (see BlockOrder); as validation data it
    is read in order. Nothing but a batch is in memory.

    Args:
        index: of `index_shards`.
        make_batch: takes samples, and random numbers float64 [len(samples), num_randoms], or None where
            nothing may be augmented; for workers it must be a function of a module. A ValueError of it ends
            the trial.
        shuffle: samples that are mixed.
        num_randoms: uniform random numbers that one training sample needs.
        num_threads: that read samples at the same time.
    """

    def __init__(
        self,
        index: ShardIndex,
        make_batch: Callable[[Sequence[Sample], np.ndarray | None], Batch],
        *,
        shuffle: int = 1000,
        num_randoms: int = 0,
        num_threads: int = 1,
    ) -> None:
        self.num_randoms = num_randoms
        self.order = BlockOrder(index.firsts, shuffle)
        self._reader, self._make_batch, self._num_threads = ShardReader(index), make_batch, num_threads

    def __len__(self) -> int:
        return len(self._reader.index)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> Batch:
        numbers = [int(index) for index in indices]
        if self._num_threads == 1:
            return self._make_batch([self._reader.read(number) for number in numbers], randoms)
        with ThreadPoolExecutor(min(self._num_threads, len(numbers))) as pool:
            return self._make_batch(list(pool.map(self._reader.read, numbers)), randoms)
