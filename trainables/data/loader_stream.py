"""The endless stream of batches of a DataLoader that the user brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from trainables.data.handover import iterator_of
from trainables.data.same_contents import digest
from trainables.data.source import Batch
from trainables.data.stream import SHARED_DATA, check_keys
from trainables.data.workers import next_from

STATE_VERSION = 1

_END = object()


class LoaderStream:
    """Batches as the loader gives them; when it is exhausted, a new epoch over it begins.

    Worker processes are started only by the loader itself, as often as in a plain loop over epochs.

    Resuming is exact for any loader whose order depends on torch generators only (its own, its sampler's,
    or torch's global one): the epoch is begun again with the random states of its start, and the batches
    already given are drawn and dropped, which takes as long as loading them. Random numbers that a dataset
    draws itself are repeated as far as they come from the worker's seed and the workers are new in each
    epoch; persistent workers are seeded once in their life, so augmentation inside them differs after
    resuming in a later epoch, while the order does not, unless the loader is hidden inside another iterable.
    In the main process (num_workers=0) a dataset draws from the global random states, which are for the
    caller to save and to restore after the position.

    Args:
        loader: a DataLoader or anything else that can be iterated again and again, sized or not.
        whole_epochs: end a step where an epoch ends; the loader's length must be known.

    Raises:
        ValueError: the loader is empty, or can be read only once; where that shows only later, from
            `next_step`, as for workers that read the same samples.
        RuntimeError: from `next_step`, naming a worker process that has died.
    """

    def __init__(self, loader: Iterable[Batch], *, whole_epochs: bool = False) -> None:
        if isinstance(loader, Iterator):
            raise ValueError(
                f"{_describe(loader)} can be read only once; give an object whose __iter__ makes a new "
                "iterator, such as a DataLoader or a list"
            )
        if known_length(loader) == 0:
            raise ValueError(_empty_message(loader))
        self._loader = loader
        self._whole_epochs = whole_epochs
        self._epochs = 0
        self._batches = 0
        """Batches given in all epochs."""
        self._batch_in_epoch = 0
        self._iterator: Iterator[Batch] | None = None
        self._ahead: list[Batch] = []
        self._length: int | None = None
        self._start_states: list[Tensor] = []
        self._first: str | None = None

    @property
    def epochs(self) -> float:
        """Completed epochs; for a loader of unknown length the end shows when the next batch is drawn."""
        return float(self._epochs)

    def next_step(self, num_micro_batches: int) -> list[Batch]:
        epochs, batches = self._epochs, [self._next_batch()]
        for _ in range(num_micro_batches - 1):
            if self._whole_epochs and self._epochs > epochs:
                break
            batches.append(self._next_batch())
        return batches

    def state_dict(self) -> dict[str, Any]:
        """The position and the random states of the epoch's start: numbers and tensors only."""
        states = self._start_states if self._batch_in_epoch else self._random_states()
        return {
            "version": STATE_VERSION,
            "epochs": self._epochs,
            "batch_in_epoch": self._batch_in_epoch,
            "batches": self._batches,
            "global_state": states[0],
            "generator_states": states[1:],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position, with a freshly made loader; torch's global random state stays as it is.

        Raises:
            ValueError: the state is of another version or another kind of loader, or the data has fewer
                batches than were given.
        """
        self._check_state(state)
        given = int(state["batch_in_epoch"])
        self._iterator = None
        self._ahead.clear()
        self._epochs = int(state["epochs"])
        self._batches = int(state["batches"]) - given
        self._batch_in_epoch = 0
        with torch.random.fork_rng(devices=[]):
            if self._epochs and getattr(self._loader, "persistent_workers", False):
                iterator_of(
                    self._loader
                )  # Takes the workers' seed from the generator, as only a first epoch does.
            self._set_random_states([state["global_state"], *state["generator_states"]])
            while self._batch_in_epoch < given and self._epochs == state["epochs"]:
                self._next_batch()
        if (self._epochs, self._batch_in_epoch) != (state["epochs"], given):
            raise ValueError(
                f"the saved position is after batch {given} of an epoch, but {_describe(self._loader)} ended "
                "earlier or there; resume with the same data and batch size"
            )

    def close(self) -> None:
        """End the workers of this epoch; the loader, and workers that stay for all epochs, are the user's."""
        self._iterator = None
        self._ahead.clear()

    def _next_batch(self) -> Batch:
        if self._iterator is None:
            self._begin_epoch()
        batch = self._take()
        if batch is _END and self._batch_in_epoch > 0:
            self._end_epoch()
            self._begin_epoch()
            batch = self._take()
        if batch is _END:
            self._iterator = None
            raise ValueError(self._no_batch_message())
        self._batch_in_epoch += 1
        self._batches += 1
        if self._batches <= 2:
            self._check_parts(batch)
        if self._batch_in_epoch == self._length:
            # The epoch is complete after as many batches as its length says, if that is true.
            following = self._take()
            if following is _END:
                self._end_epoch()
            else:
                self._ahead.append(following)
        return batch

    def _begin_epoch(self) -> None:
        self._start_states = self._random_states()
        self._length = known_length(self._loader)
        self._iterator = iterator_of(self._loader)

    def _end_epoch(self) -> None:
        self._epochs += 1
        self._batch_in_epoch = 0
        self._iterator = None

    def _take(self) -> Batch:
        """The next batch of this epoch, or _END."""
        assert self._iterator is not None
        return self._ahead.pop() if self._ahead else next_from(self._iterator, _END)

    def _check_parts(self, batch: Batch) -> None:
        """The first two batches of an IterableDataset come from two workers, and must differ."""
        if self._epochs or not _has_copies(self._loader):
            return
        found = digest(batch)
        if self._batches == 2 and self._first == found:
            raise ValueError(
                f"two workers of the {_describe(self._loader)} read the same samples, {SHARED_DATA}"
            )
        self._first = found

    def _random_states(self) -> list[Tensor]:
        """Torch's global state, then those of the loader's generators."""
        return [torch.get_rng_state(), *(generator.get_state() for generator in _generators(self._loader))]

    def _set_random_states(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        for generator, state in zip(_generators(self._loader), states[1:], strict=True):
            generator.set_state(state)

    def _check_state(self, state: Mapping[str, Any]) -> None:
        here = self.state_dict()
        check_keys(state, here)
        if state["version"] != STATE_VERSION:
            raise ValueError(f"saved position has version {state['version']}; it must be {STATE_VERSION}")
        saved, found = len(state["generator_states"]), len(here["generator_states"])
        if saved != found:
            raise ValueError(
                f"saved position has {saved} generators and {_describe(self._loader)} has {found}; "
                "resume with the same kind of loader"
            )

    def _no_batch_message(self) -> str:
        if self._epochs == 0:
            return _empty_message(self._loader)
        return (
            f"{_describe(self._loader)} gave no batch in epoch {self._epochs + 1}, after {self._batches} "
            "batches before: it can be read only once; give an object whose __iter__ starts over each time"
        )


def known_length(loader: Iterable[Batch]) -> int | None:
    """Batches of one epoch where they are known for sure; an IterableDataset's length is only a claim."""
    if isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset):
        return None
    try:
        return len(loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return None


def loader_samples(loader: DataLoader[Any]) -> tuple[int | None, int | None]:
    """Samples of one batch and of one epoch; None where the loader does not say."""
    batches: Any = loader.batch_sampler
    if type(batches) is not BatchSampler:  # Others have sizes of their own.
        return None, None
    size, num_batches = batches.batch_size, known_length(loader)
    if num_batches is None:
        return size, None
    return size, num_batches * size if batches.drop_last else len(batches.sampler)  # type: ignore[arg-type]


def _has_copies(loader: Any) -> TypeGuard[DataLoader]:
    """Whether every worker has a copy of the whole data."""
    several = isinstance(loader, DataLoader) and loader.num_workers > 1
    return several and isinstance(loader.dataset, IterableDataset)


def _generators(loader: Iterable[Batch]) -> list[torch.Generator]:
    """The generators that decide the order of a DataLoader, each once."""
    sampler, batch_sampler = getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)
    owners = [loader, sampler, batch_sampler, getattr(batch_sampler, "sampler", None)]
    found = [getattr(owner, "generator", None) for owner in owners]
    return list({id(each): each for each in found if isinstance(each, torch.Generator)}.values())


def _describe(loader: Iterable[Batch]) -> str:
    if isinstance(loader, DataLoader):
        return f"DataLoader over {type(loader.dataset).__name__}"
    return f"loader of type {type(loader).__name__}"


def _empty_message(loader: Iterable[Batch]) -> str:
    if not isinstance(loader, DataLoader):
        return f"{_describe(loader)} gave no batch; it must give at least one"
    data: Any = loader.dataset
    samples = f" of {len(data)} samples" if hasattr(data, "__len__") else ""
    rule = "it must give at least one"
    if loader.drop_last:
        rule = (
            f"drop_last leaves out what does not fill batch_size {loader.batch_size}: take a smaller "
            "batch_size, more data or drop_last=False"
        )
    return f"{_describe(loader)}{samples} gave no batch; {rule}"
