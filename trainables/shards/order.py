"""The order of samples in shards: mostly forward through each of them, and still a pure function."""

from __future__ import annotations

import numpy as np

SHARDS, BLOCKS = 0, 2
"""Keys of the random numbers: which come for the order of the shards, which for the order within blocks."""


class BlockOrder:
    """Shards in an order of (seed, epoch), and samples permuted within blocks of them.

    The samples of an epoch, shard after shard, are cut into blocks of `shuffle`, each permuted by
    (seed, epoch, block). It mixes as far as a shuffle buffer of that size does, reads as little far away from
    each other, and yet any place of it is known at once, without what came before. The first block
    of an epoch has a random length, so that blocks are not of the same samples in each epoch.

    Args:
        firsts: number of the first sample of each shard, and the number of samples: int64 [shards + 1].
        shuffle: samples of a block; 0 and 1 leave each shard in its order, and the number of samples or more
            permutes them all.
    """

    def __init__(self, firsts: np.ndarray, shuffle: int) -> None:
        self._firsts = firsts
        self._length = int(firsts[-1])
        self._shuffle = min(max(shuffle, 1), self._length)
        self._epoch: tuple[tuple[int, int], np.ndarray, np.ndarray, int] | None = None
        self._block: tuple[tuple[int, int, int], np.ndarray] | None = None

    def indices(self, seed: int, number: int, start: int, stop: int) -> np.ndarray:
        """Numbers of the samples at places `start` to `stop` of epoch `number`: int64 [stop - start]."""
        shards, bounds, shift = self._of_epoch(seed, number)
        places = np.arange(start, stop)
        if self._shuffle > 1:
            while start < stop:
                block = (start - shift) // self._shuffle + 1
                begin = max(0, shift + (block - 1) * self._shuffle)
                end = min(self._length, shift + block * self._shuffle)
                taken = self._of_block(seed, number, block, end - begin)[start - begin : stop - begin]
                offset = len(places) - (stop - start)
                places[offset : offset + len(taken)] = begin + taken
                start += len(taken)
        ranks = np.searchsorted(bounds, places, side="right") - 1
        return self._firsts[shards[ranks]] + places - bounds[ranks]

    def _of_epoch(self, seed: int, number: int) -> tuple[np.ndarray, np.ndarray, int]:
        """Shards in order, where each begins in the epoch, and the length of the first block."""
        if self._epoch is None or self._epoch[0] != (seed, number):
            rng = np.random.default_rng([seed, SHARDS, number])
            shards = rng.permutation(len(self._firsts) - 1)
            bounds = np.concatenate([[0], np.cumsum(np.diff(self._firsts)[shards])])
            shift = 0 if self._shuffle == self._length else int(rng.integers(self._shuffle))
            self._epoch = (seed, number), shards, bounds, shift
        return self._epoch[1:]

    def _of_block(self, seed: int, number: int, block: int, length: int) -> np.ndarray:
        if self._block is None or self._block[0] != (seed, number, block):
            permutation = np.random.default_rng([seed, BLOCKS, number, block]).permutation(length)
            self._block = (seed, number, block), permutation
        return self._block[1]
