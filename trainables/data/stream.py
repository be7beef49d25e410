"""The endless, deterministic stream of training samples: a position in it is one number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeGuard

import numpy as np
from torch.utils.data import DataLoader, IterableDataset

from trainables.data.same_contents import digest
from trainables.data.source import Batch, BatchSource
from trainables.data.virtual_loader import VirtualDataLoader

STATE_VERSION = 1


WAY_OUT = (
    "so each would be trained on more than once: let its __iter__ give each worker a part, as in "
    "itertools.islice(samples, info.id, None, info.num_workers) with info = "
    "torch.utils.data.get_worker_info(), or set the number of workers to 1"
)


class TrainingStream(Protocol):
    """What the trainer draws from; it never ends."""

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
        """End whatever works for the stream; the next step begins it anew."""
        ...


class Order(Protocol):
    """What a source has as `order` if it cannot well be read in any order."""

    def indices(self, seed: int, number: int, start: int, stop: int) -> np.ndarray:
        """The samples at places `start` to `stop` of epoch `number`: int64 [stop - start].

        A pure function of its arguments that has every sample once in an epoch.
        """
        ...


class SampleStream:
    """Batches from a source, epoch after epoch, each epoch in a new order.

    The order of epoch p is a function of (seed, p), the random numbers of the n-th sample of the stream one
    of (seed, n). So the stream is at any position at once, whatever it was cut into before: resuming costs
    nothing and is exact, also after a change of batch size.

    Args:
        source: data with a length. If it has an `order` (see Order), that takes the place of a permutation.
        batch_size: samples of one micro-batch.
        seed: of the order and of the random numbers.
        whole_epochs: end a micro-batch and a step where an epoch ends, so that a virtual epoch of epochs
            holds exactly these samples; otherwise batches run across the end of an epoch.

    Raises:
        ValueError: the source is empty or holds less than one batch.
    """

    def __init__(
        self, source: BatchSource, *, batch_size: int, seed: int, whole_epochs: bool = False
    ) -> None:
        if len(source) == 0:
            raise ValueError(f"the training data ({type(source).__name__}) is empty")
        if batch_size > len(source):
            raise ValueError(
                f"batch_size is {batch_size} but the training data ({type(source).__name__}) has only "
                f"{len(source)} samples; choose a batch_size of at most {len(source)}"
            )
        self.position = 0
        self._source = source
        self._batch_size = batch_size
        self._seed = seed
        self._whole_epochs = whole_epochs
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
            ValueError: the state is of other data or another seed.
        """
        here = self.state_dict()
        missing, unknown = sorted(set(here) - set(state)), sorted(set(state) - set(here))
        if missing or unknown:
            raise ValueError(f"the saved position lacks {missing} and has unknown {unknown}; they must agree")
        differing = {k: (state[k], here[k]) for k in here if k != "position" and state[k] != here[k]}
        if differing:
            raise ValueError(
                f"the saved position belongs to other data: (saved, here) = {differing}; "
                "resume with the same data and seed"
            )
        self.position = int(state["position"])

    def close(self) -> None:
        """Nothing works for this stream but its own process."""

    def _next_batch(self) -> Batch:
        batch = self._source.batch(*self._request(self.position))
        self.position += self._size(self.position)
        return batch

    def _size(self, start: int) -> int:
        """Samples of the micro-batch that begins at a position."""
        if self._whole_epochs:
            return min(self._batch_size, len(self._source) - start % len(self._source))
        return self._batch_size

    def _request(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices and random numbers of the micro-batch that begins at a position."""
        size = self._size(start)
        return self._indices(start, start + size), self._randoms(start, size)

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


class LoaderStream:
    """The same for a DataLoader that the user brings: batches as they come, epoch after epoch.

    Args:
        loader: makes a new iterator for each epoch.
        whole_epochs: end a step where an epoch ends; the loader's length must be known.

    Raises:
        ValueError: the loader is empty or can be read only once; from `next_step`, its workers read the same.
    """

    def __init__(self, loader: Iterable[Batch], *, whole_epochs: bool = False) -> None:
        self._loader = VirtualDataLoader(loader, steps_per_epoch=1)
        self._first: str | None = None
        self._whole_epochs = whole_epochs

    @property
    def epochs(self) -> float:
        """Epochs over the data that are complete."""
        return float(self._loader.epochs)

    def next_step(self, num_micro_batches: int) -> list[Batch]:
        epochs, batches = self._loader.epochs, [self._next_batch()]
        for _ in range(num_micro_batches - 1):
            if self._whole_epochs and self._loader.epochs > epochs:
                break
            batches.append(self._next_batch())
        return batches

    def state_dict(self) -> dict[str, Any]:
        return self._loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._loader.load_state_dict(state)

    def close(self) -> None:
        """The loader is its owner's, and so are its workers."""

    def _next_batch(self) -> Batch:
        """Of an IterableDataset, the first two batches come from two workers: they must not be one."""
        batch, loader = self._loader.next_batch(), self._loader.loader
        if self._loader.batches > 2 or self._loader.epochs or not _has_copies(loader):
            return batch
        found = digest(batch)
        if self._loader.batches == 1:
            self._first = found
        elif self._first == found:
            name = type(loader.dataset).__name__
            raise ValueError(f"two workers of the DataLoader over {name} read the same samples, {WAY_OUT}")
        return batch


def _has_copies(loader: Any) -> TypeGuard[DataLoader]:
    """Whether every worker has a copy of the whole data."""
    several = isinstance(loader, DataLoader) and loader.num_workers > 1
    return several and isinstance(loader.dataset, IterableDataset)
