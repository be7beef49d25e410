"""The endless, deterministic stream of training samples: a position in it is one number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from trainables.data.source import Batch, BatchSource
from trainables.data.workers import Workers
from trainables.ranks.group import part_of

STATE_VERSION = 1

SHARED_DATA = (
    "so each would be trained on more than once: let its __iter__ give each worker a part, as in "
    "itertools.islice(samples, info.id, None, info.num_workers) with info = "
    "torch.utils.data.get_worker_info(), or set the number of workers to 1"
)
"""Two workers read the same samples of an IterableDataset, and what to do about it."""

Request = tuple[np.ndarray, np.ndarray]
"""Indices and random numbers of a micro-batch."""


class OtherDataError(ValueError):
    """A saved position that is not one in these data."""


class TrainingStream(Protocol):
    """The endless stream of training batches that the trainer draws from."""

    @property
    def epochs(self) -> float:
        """Epochs over the data so far."""
        ...

    def next_step(self, num_micro_batches: int) -> list[Batch]:
        """The micro-batches of one optimizer step."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...

    def close(self) -> None:
        """End the stream's worker processes, if it has any; the next step starts new ones."""
        ...


class Order(Protocol):
    """The order of a source that cannot well be read in any order, its attribute `order`."""

    def indices(self, seed: int, number: int, start: int, stop: int) -> np.ndarray:
        """The samples at places `start` to `stop` of epoch `number`: int64 [stop - start].

        A pure function of its arguments that has every sample once in an epoch.
        """
        ...


class SampleStream:
    """Batches from a source, epoch after epoch, each epoch in a new order.

    The order of epoch p is a function of (seed, p), the random numbers of the n-th sample of the stream one
    of (seed, n). So the stream is at any position at once, whatever it was cut into before: resuming costs
    nothing and is exact, also after a change of batch size. With `num_workers`, other processes read the
    source; a batch is made of its indices and random numbers alone, so it is the same bit for bit.

    Args:
        source: data with a length. If it has an `order` (see Order), that takes the place of a permutation.
        batch_size: samples of one micro-batch.
        seed: of the order and of the random numbers.
        whole_epochs: end a micro-batch and a step where an epoch ends, so that a virtual epoch of epochs
            holds exactly these samples; otherwise batches run across the end of an epoch.
        num_workers: processes that make batches ahead of time; 0 for none. Each gets a copy of the source
            (pickled), which should hold file names and no pixels.
        rank, num_ranks: of this process among those that share each micro-batch, see `part_of`; a position
            counts the samples of all.

    Raises:
        ValueError: the source is empty or holds less than one batch; from `next_step`, as the source raises.
        RuntimeError: from `next_step`, naming a worker that was killed, or with the trace of a worker.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        batch_size: int,
        seed: int,
        whole_epochs: bool = False,
        num_workers: int = 0,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        if len(source) == 0:
            raise ValueError(f"the training data ({type(source).__name__}) is empty")
        if batch_size > len(source):
            raise ValueError(
                f"batch_size is {batch_size} but the training data has only {len(source)} samples; choose a "
                f"batch_size of at most {len(source)}"
            )
        self.position = 0
        self._source = source
        self._batch_size = batch_size
        self._seed = seed
        self._whole_epochs = whole_epochs
        self._num_workers = num_workers
        self._rank, self._num_ranks = rank, num_ranks
        self._workers: Workers[Request, tuple[Batch, list[Any]]] | None = None
        self._order: tuple[int, np.ndarray] | None = None
        self._key = int(np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)[0])

    @property
    def epochs(self) -> float:
        """Epochs over the data so far."""
        return self.position / len(self._source)

    def next_step(self, num_micro_batches: int) -> list[Batch]:
        batches = [self._next_batch()]
        for _ in range(num_micro_batches - 1):
            if self._whole_epochs and self.position % len(self._source) == 0:
                break
            batches.append(self._next_batch())
        return batches

    def state_dict(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "position": self.position,
            "seed": self._seed,
            "num_samples": len(self._source),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position.

        Raises:
            OtherDataError: the state is of other data or another seed.
        """
        here = self.state_dict()
        check_keys(state, here)
        differing = {k: (state[k], here[k]) for k in here if k != "position" and state[k] != here[k]}
        if differing:
            raise OtherDataError(
                f"the saved position belongs to other data: (saved, here) = {differing}; "
                "resume with the same data and seed"
            )
        self.position = int(state["position"])
        self.close()

    def close(self) -> None:
        """End the workers, and wait until they are gone; the next step starts new ones."""
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.close()

    def _next_batch(self) -> Batch:
        if self._num_workers:
            batch = self._batch_of_workers()
        else:
            batch = self._source.batch(*self._request(self.position))
        self.position += self._size(self.position)
        return batch

    def _batch_of_workers(self) -> Batch:
        try:
            if self._workers is None:
                made = _Made(self._source)
                self._workers = Workers(made, self._requests(self.position), self._num_workers)
            batch, findings = next(self._workers)
            if findings:
                self._source.add_findings(findings)  # type: ignore[attr-defined]
        except BaseException:
            self.close()
            raise
        return batch

    def _requests(self, start: int) -> Iterator[Request]:
        while True:
            yield self._request(start)
            start += self._size(start)

    def _size(self, start: int) -> int:
        """Samples of the micro-batch that begins at a position."""
        if self._whole_epochs:
            return min(self._batch_size, len(self._source) - start % len(self._source))
        return self._batch_size

    def _request(self, start: int) -> Request:
        """What this rank's part of the micro-batch that begins at a position is made of."""
        first, end = part_of(self._size(start), self._rank, self._num_ranks)
        return self._indices(start + first, start + end), self._randoms(start + first, end - first)

    def _indices(self, start: int, stop: int) -> np.ndarray:
        length = len(self._source)
        parts = []
        while start < stop:
            number, offset = divmod(start, length)
            end = min(length, offset + stop - start)
            parts.append(self._part_of_epoch(number, offset, end))
            start += end - offset
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part_of_epoch(self, number: int, start: int, stop: int) -> np.ndarray:
        order: Order | None = getattr(self._source, "order", None)
        if order is None:
            return self._epoch_order(number)[start:stop]
        return order.indices(self._seed, number, start, stop)

    def _epoch_order(self, number: int) -> np.ndarray:
        if self._order is None or self._order[0] != number:
            rng = np.random.default_rng([self._seed, 0, number])
            self._order = (number, rng.permutation(len(self._source)))
        return self._order[1]

    def _randoms(self, start: int, size: int) -> np.ndarray:
        needed = self._source.num_randoms
        if not needed:
            return np.empty((size, 0))
        blocks = -(-needed // 4)  # Philox gives four numbers per count, so each sample begins on a count.
        generator = np.random.Generator(np.random.Philox(key=self._key, counter=start * blocks))
        return generator.random((size, 4 * blocks))[:, :needed]


class _Made:
    """Makes batches in a worker, each with the findings of the source's copy there since the last one."""

    def __init__(self, source: BatchSource) -> None:
        self._source: Any = source

    def __call__(self, request: Request) -> tuple[Batch, list[Any]]:
        batch = self._source.batch(*request)
        return batch, self._source.take_findings() if hasattr(self._source, "take_findings") else []


def check_keys(state: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Compare the names in a saved position with those of this stream.

    Raises:
        ValueError: with the differences both ways.
    """
    missing, unknown = sorted(set(here) - set(state)), sorted(set(state) - set(here))
    if missing or unknown:
        raise ValueError(f"the saved position lacks {missing} and has unknown {unknown}; they must agree")
