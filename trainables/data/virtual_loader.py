"""Virtual epochs over any DataLoader: a fixed number of batches, whatever the length of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import wait
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from trainables.data.source import Batch

STATE_VERSION = 1

DYING_SECONDS = 5.0
"""Between the end of a worker's pipe and that of its process."""

_END = object()


class VirtualDataLoader:
    """Cuts the endless repetition of a loader into virtual epochs of `steps_per_epoch` batches.

    Every `for` loop over it gives exactly `steps_per_epoch` batches and goes on where the last loop ended,
    also where that one was left early. When the loader is exhausted a new epoch over it begins, in the
    middle of a virtual epoch if need be. Make it once, before the training loop. Worker processes are
    started only by the loader itself, as often as it would be in a plain loop over epochs.

    Resuming is exact for any loader whose order depends on torch generators only (its own, its sampler's,
    or torch's global one): the epoch is begun again with the random states of its start, and the batches
    already given are drawn and dropped, which takes as long as loading them. Random numbers that a dataset
    draws itself are repeated as far as they come from the worker's seed and the workers are new in each
    epoch; persistent workers are seeded once in their life, so augmentation inside them differs after
    resuming in a later epoch, while the order does not. In the main process (num_workers=0) a dataset draws
    from the global random states, which are for the caller to save and to restore after the position.

    Args:
        loader: a DataLoader or anything else that can be iterated again and again, sized or not.
        steps_per_epoch: batches in one virtual epoch.

    Raises:
        ValueError: if steps_per_epoch is below 1, the loader is known to be empty, or it can be read only
            once. Where that shows only later, taking a batch raises it.
    """

    def __init__(self, loader: Iterable[Batch], steps_per_epoch: int) -> None:
        if steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch is {steps_per_epoch}; it must be 1 or more")
        if isinstance(loader, Iterator):
            raise ValueError(
                f"{_describe(loader)} can be read only once; give an object whose __iter__ makes a new "
                "iterator, such as a DataLoader or a list"
            )
        if known_length(loader) == 0:
            raise ValueError(_empty_message(loader))
        self.loader = loader
        self.steps_per_epoch = steps_per_epoch
        self.epochs = 0
        """Completed epochs; of a loader of unknown length the end shows only when the next batch is taken."""
        self.batches = 0
        """Batches given in all."""
        self._batch_in_epoch = 0
        self._iterator: Iterator[Batch] | None = None
        self._ahead: list[Batch] = []
        self._length: int | None = None
        self._start_states: list[Tensor] = []

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.steps_per_epoch):
            yield self.next_batch()

    def next_batch(self) -> Batch:
        """The next batch of the endless stream.

        Raises:
            ValueError: if an epoch gives no batch at all.
            RuntimeError: if a worker process died; it names the process.
        """
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
        self.batches += 1
        if self._batch_in_epoch == self._length:
            self._look_for_end()
        return batch

    def state_dict(self) -> dict[str, Any]:
        """The position and the random states of the epoch's start: numbers and tensors only."""
        states = self._start_states if self._batch_in_epoch else self._random_states()
        return {
            "version": STATE_VERSION,
            "epochs": self.epochs,
            "batch_in_epoch": self._batch_in_epoch,
            "batches": self.batches,
            "global_state": states[0],
            "generator_states": states[1:],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position, with a freshly made loader; torch's global random state stays as it is.

        Raises:
            ValueError: if the state is of another version or another kind of loader, or the data has fewer
                batches than were given.
        """
        self._check_state(state)
        given = int(state["batch_in_epoch"])
        self._iterator = None
        self._ahead.clear()
        self.epochs = int(state["epochs"])
        self.batches = int(state["batches"]) - given
        self._batch_in_epoch = 0
        with torch.random.fork_rng(devices=[]):
            if self.epochs and getattr(self.loader, "persistent_workers", False):
                iter(self.loader)  # Takes the workers' seed from the generator, as only a first epoch does.
            self._set_random_states([state["global_state"], *state["generator_states"]])
            while self._batch_in_epoch < given and self.epochs == state["epochs"]:
                self.next_batch()
        if (self.epochs, self._batch_in_epoch) != (state["epochs"], given):
            raise ValueError(
                f"the saved position is after batch {given} of an epoch, but {_describe(self.loader)} ended "
                "earlier or there; resume with the same data and batch size"
            )

    def _begin_epoch(self) -> None:
        self._iterator = None
        self._start_states = self._random_states()
        self._length = known_length(self.loader)
        self._iterator = iter(self.loader)

    def _take(self) -> Batch:
        """The next batch of this epoch, or _END."""
        assert self._iterator is not None
        if self._ahead:
            return self._ahead.pop()
        try:
            return next(self._iterator, _END)
        except (ConnectionError, EOFError) as error:
            raise_if_worker_died(self._iterator, error)
            raise

    def _look_for_end(self) -> None:
        """Complete the epoch after the last batch that the loader's length promises, if it holds true."""
        batch = self._take()
        if batch is _END:
            self._end_epoch()
        else:
            self._ahead.append(batch)

    def _end_epoch(self) -> None:
        self.epochs += 1
        self._batch_in_epoch = 0
        self._iterator = None

    def _random_states(self) -> list[Tensor]:
        """Torch's global state, then those of the loader's generators."""
        return [torch.get_rng_state(), *(generator.get_state() for generator in _generators(self.loader))]

    def _set_random_states(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        for generator, state in zip(_generators(self.loader), states[1:], strict=True):
            generator.set_state(state)

    def _no_batch_message(self) -> str:
        if self.epochs == 0:
            return _empty_message(self.loader)
        return (
            f"{_describe(self.loader)} gave no batch in epoch {self.epochs + 1}, after {self.batches} batches "
            "before: it can be read only once; give an object whose __iter__ begins anew each time"
        )

    def _check_state(self, state: Mapping[str, Any]) -> None:
        here = self.state_dict()
        missing, unknown = sorted(set(here) - set(state)), sorted(set(state) - set(here))
        if missing or unknown:
            raise ValueError(f"saved position lacks {missing} and has unknown {unknown}; they must agree")
        if state["version"] != STATE_VERSION:
            raise ValueError(f"saved position has version {state['version']}; it must be {STATE_VERSION}")
        saved, found = len(state["generator_states"]), len(here["generator_states"])
        if saved != found:
            raise ValueError(
                f"saved position has {saved} generators and {_describe(self.loader)} has {found}; "
                "resume with the same kind of loader"
            )


def known_length(loader: Iterable[Batch]) -> int | None:
    """Batches of one epoch where they are known for sure; an IterableDataset's length is only a claim."""
    if isinstance(loader, DataLoader) and isinstance(loader.dataset, IterableDataset):
        return None
    try:
        return len(loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return None


def raise_if_worker_died(iterator: Iterator[Any], error: Exception) -> None:
    """What a DataLoader tells of a worker's death may be that its pipe broke, and a moment later, wherever
    the program then is, that the worker was killed. Here it is waited for, and told once.
    """
    workers = {worker.sentinel: worker for worker in getattr(iterator, "_workers", ())}
    for sentinel in wait(list(workers), DYING_SECONDS) if workers else ():
        worker = workers[sentinel]
        worker.join()
        raise RuntimeError(
            f"DataLoader worker (pid {worker.pid}) ended unexpectedly, with exit code {worker.exitcode}"
        ) from error


def _generators(loader: Iterable[Batch]) -> list[torch.Generator]:
    """Those that decide the order of a DataLoader, each once."""
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
    if loader.drop_last:
        return (
            f"{_describe(loader)}{samples} gave no batch; drop_last leaves out what does not fill batch_size "
            f"{loader.batch_size}: take a smaller batch_size, more data or drop_last=False"
        )
    return f"{_describe(loader)}{samples} gave no batch; it must give at least one"
