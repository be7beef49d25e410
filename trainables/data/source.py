"""What a task gives the trainer as data: whole batches by index, from memory, files or any Dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, default_collate

from trainables.data.batches import Batch as Batch
from trainables.data.batches import collated, like
from trainables.data.batches import to_device as to_device
from trainables.findings import a_type


@runtime_checkable
class BatchSource(Protocol):
    """Data of known length that hands out whole batches by index.

    `num_randoms` is how many uniform numbers in [0, 1) one training sample needs for its augmentation.
    `batch` gets them as float64 of shape [len(indices), num_randoms], a pure function of the trial's seed
    and the sample's number in the stream, so that a sample looks the same whenever it is drawn again after
    a restart; it gets None where nothing may be augmented (validation).
    """

    num_randoms: int

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> Batch: ...


class ArraySource:
    """Arrays or tensors of equal first dimension, kept in memory: a batch is a tuple of their rows.

    float64 becomes float32, the type of the weights; other types stay.
    """

    num_randoms = 0

    def __init__(self, *arrays: np.ndarray | torch.Tensor) -> None:
        if not arrays:
            raise ValueError(
                "data is an empty tuple; it must hold at least one array, such as (inputs, targets)"
            )
        self._arrays = [np.asarray(array) for array in arrays]
        lengths = [len(array) for array in self._arrays]
        if len(set(lengths)) != 1:
            raise ValueError(f"arrays have {lengths} rows; they must have the same number")

    def __len__(self) -> int:
        return len(self._arrays[0])

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[torch.Tensor, ...]:
        return tuple(_tensor(array.take(indices, axis=0)) for array in self._arrays)


class DatasetSource:
    """A map-style Dataset, read in the training process; `__getitems__` is used where the dataset has it."""

    num_randoms = 0

    def __init__(self, dataset: Any, collate: Callable[[list[Any]], Batch] = collated) -> None:
        self._dataset, self._collate = dataset, collate

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> Batch:
        wanted = [int(index) for index in indices]
        if hasattr(self._dataset, "__getitems__"):
            return self._collate(self._dataset.__getitems__(wanted))
        return self._collate([self._dataset[index] for index in wanted])


class JoinedSource:
    """Two sources one after the other; each sample gets the random numbers that its own source wants."""

    def __init__(self, first: BatchSource, second: BatchSource) -> None:
        self._first, self._second = first, second
        self.num_randoms = max(first.num_randoms, second.num_randoms)

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> Batch:
        in_first = indices < len(self._first)
        parts, order = [], []
        for source, chosen, offset in (
            (self._first, in_first, 0),
            (self._second, ~in_first, len(self._first)),
        ):
            if chosen.any():
                drawn = None if randoms is None else randoms[chosen, : source.num_randoms]
                parts.append(source.batch(indices[chosen] - offset, drawn))
                order.append(np.flatnonzero(chosen))
        return _join(parts, torch.from_numpy(np.argsort(np.concatenate(order))))

    def take_findings(self) -> list[tuple[int, list[Any]]]:
        """The findings of each source, in a worker process (see `trainables.data.stream`)."""
        sources = enumerate((self._first, self._second))
        return [(number, each.take_findings()) for number, each in sources if hasattr(each, "take_findings")]

    def add_findings(self, findings: Sequence[tuple[int, list[Any]]]) -> None:
        """Give the findings of the copies in a worker to the sources."""
        sources: tuple[Any, Any] = (self._first, self._second)
        for number, found in findings:
            sources[number].add_findings(found)


def as_source(data: Any, name: str = "data") -> BatchSource:
    """Turn what a task returns into a BatchSource: a source, a tuple of arrays, or a map-style Dataset.

    A list of samples is a Dataset. Of a DataLoader the dataset and the collate_fn are taken, not its batches
    and their order.

    Args:
        name: of the method that returned it, for messages.

    Raises:
        TypeError: for data of any other kind.
    """
    if isinstance(data, BatchSource):
        return data
    if isinstance(data, tuple) and all(isinstance(part, np.ndarray | torch.Tensor) for part in data):
        try:
            return ArraySource(*data)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if isinstance(data, IterableDataset):
        raise TypeError(
            f"{name} is {a_type(data)}, an IterableDataset: that can only be train_data(), as "
            "validation and training on all data need a known length and order; return a map-style Dataset, "
            "or of tar files a trainables.shards.ShardSource"
        )
    if isinstance(data, DataLoader) and isinstance(data.sampler, SequentialSampler | RandomSampler):
        own = None if data.collate_fn is default_collate else data.collate_fn
        return DatasetSource(data.dataset, own or collated)
    is_sized = hasattr(data, "__getitem__") and hasattr(data, "__len__")
    if is_sized and (not isinstance(data, Sequence) or _holds_samples(data)):
        return DatasetSource(data)
    raise TypeError(
        f"{name} is {a_type(data)}; it must be a BatchSource, a tuple of arrays, a map-style "
        f"Dataset (__len__ and __getitem__) or a DataLoader{_instead(data)}"
    )


def _holds_samples(data: Sequence[Any]) -> bool:
    """Whether a list is one of samples, such as (input, target), and not of the arrays of all of them."""
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, tuple | list | Mapping) or is_dataclass(first)


def _instead(data: Any) -> str:
    """What to return in the place of what is often returned."""
    if isinstance(data, list | tuple) and any(isinstance(part, np.ndarray | torch.Tensor) for part in data):
        return ": return a tuple of arrays or tensors alone, such as (inputs, targets)"
    return ": return list(...) of it" if isinstance(data, Iterator) else ""


def _join(batches: Sequence[Batch], order: torch.Tensor) -> Batch:
    """One batch of the rows of several, in this order."""
    first = batches[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(batches))[order]
    if isinstance(first, dict):
        return {key: _join([batch[key] for batch in batches], order) for key in first}
    if isinstance(first, list | tuple):
        return like(first, [_join(column, order) for column in zip(*batches, strict=True)])
    raise TypeError(f"a batch holds {a_type(first)}; only tensors can be joined: override all_data()")


def _tensor(rows: np.ndarray) -> torch.Tensor:
    if rows.dtype == np.float64:
        rows = rows.astype(np.float32)
    return torch.from_numpy(rows)
