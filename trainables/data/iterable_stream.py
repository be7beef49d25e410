"""The endless stream of samples of an IterableDataset, whose number nobody knows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from trainables.data.batches import Batch, collated
from trainables.data.same_contents import digest
from trainables.data.stream import SHARED_DATA, check_keys
from trainables.data.workers import Workers
from trainables.process.process_state import RandomStates, seed_everything

STATE_VERSION = 1
NUM_COMPARED = 4
"""First samples by which two workers that read the same are found out."""


class IterableStream:
    """Batches of an IterableDataset, epoch after epoch, from each worker in turn.

    Where the dataset is read, an epoch begins with random states (Python, numpy, torch) of (seed, epoch), the
    same for all workers, so that each can take its part of one random order; after the first samples
    they are of (seed, epoch, worker). A method `set_epoch` of the dataset is called with the number of the
    epoch, from 0. Reading in the trial's own process (num_workers 0) leaves the trial's random states alone.
    Resuming reads again what came before in the epoch, and drops it; it is exact for a dataset that gives the
    same where its random states are the same.

    The dataset must give each worker a part of its own (torch.utils.data.get_worker_info). The last batch
    of each worker in an epoch takes what is left.

    Args:
        dataset: each iteration is one epoch. It goes to every worker as a copy (pickled).
        batch_size: samples of one micro-batch.
        seed: of the random states and of the shuffling.
        shuffle: samples that are permuted together, in memory; 0 leaves them in their order.
        num_workers: processes, 0 for none.

    Raises:
        ValueError: from `next_step`, if the dataset gives nothing, less than a batch, or the same samples to
            two workers.
        RuntimeError: from `next_step`, naming a worker that was killed, or with the trace of a worker.
    """

    def __init__(
        self,
        dataset: IterableDataset[Any],
        *,
        batch_size: int,
        seed: int,
        shuffle: int = 0,
        num_workers: int = 0,
    ) -> None:
        self._name = type(dataset).__name__
        self._new_part = partial(_Part, dataset, batch_size, shuffle, seed)
        self._batch_size, self._seed, self._num_workers = batch_size, seed, num_workers
        self._parts = max(1, num_workers)
        self._epochs = 0
        self._given = [0] * self._parts
        """Samples of this epoch, by worker."""
        self._turn = 0
        self._drawn: Iterator[_Drawn] | None = None
        self._begin()

    @property
    def epochs(self) -> float:
        """Completed epochs; the end of one shows when the next batch is drawn."""
        return float(self._epochs)

    def next_step(self, num_micro_batches: int) -> list[Batch]:
        try:
            return [self._next_batch() for _ in range(num_micro_batches)]
        except BaseException:
            self.close()
            raise

    def state_dict(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "seed": self._seed,
            "num_workers": self._num_workers,
            "epochs": self._epochs,
            "given": list(self._given),
            "turn": self._turn,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a saved position; what came before it is read and dropped with the next step.

        Raises:
            ValueError: the state is of another kind of data, seed or number of workers.
        """
        here = self.state_dict()
        check_keys(state, here)
        fixed = ("version", "seed", "num_workers")
        differing = {key: (state[key], here[key]) for key in fixed if state[key] != here[key]}
        if differing:
            raise ValueError(
                f"the saved position belongs to other data: (saved, here) = {differing}; an IterableDataset "
                "gives another order to another number of workers: resume with the same"
            )
        self._epochs, self._given = int(state["epochs"]), [int(number) for number in state["given"]]
        self._turn = int(state["turn"])
        self.close()

    def close(self) -> None:
        """End the workers and wait for them to exit; the next step restarts them."""
        drawn, self._drawn = self._drawn, None
        if isinstance(drawn, Workers):
            drawn.close()
        self._begin()

    def _begin(self) -> None:
        """Set the state of workers that have not given anything yet."""
        self._dropped = tuple(self._given)
        self._early: list[list[_Drawn]] = [[] for _ in range(self._parts)]
        self._ended: set[int] = set()
        self._firsts: dict[str, int] = {}

    def _next_batch(self) -> Batch:
        while True:
            if len(self._ended) == self._parts:
                self._end_epoch()
            worker = self._turn
            drawn = None if worker in self._ended else self._of_worker(worker)
            self._turn = (worker + 1) % self._parts
            if drawn is None:
                continue
            if drawn.batch is not None:
                self._check(drawn)
                self._given[worker] += drawn.num_samples
                return drawn.batch
            self._ended.add(worker)

    def _end_epoch(self) -> None:
        if not any(self._given):
            again = f" in epoch {self._epochs + 1}: it can be read only once" if self._epochs else ""
            raise ValueError(
                f"the training data ({self._name}) gave no sample{again}; its __iter__ must start over each "
                "time and give at least one"
            )
        self._epochs += 1
        self._given, self._turn = [0] * self._parts, 0
        self._dropped = tuple(self._given)
        self._ended.clear()
        self._firsts.clear()

    def _of_worker(self, worker: int) -> _Drawn:
        """A worker's next draw of this epoch; what was asked for too early is of the one before."""
        if self._drawn is None:
            self._drawn = self._start()
        while True:
            while not self._early[worker]:
                drawn = next(self._drawn)
                self._early[drawn.worker].append(drawn)
            found = self._early[worker].pop(0)
            if found.number == self._epochs:
                return found

    def _start(self) -> Iterator[_Drawn]:
        if not self._num_workers:
            return map(self._new_part().draw_aside, self._requests())
        try:
            return Workers(self._new_part().draw, self._requests(), self._num_workers)
        except (OSError, RuntimeError):
            raise
        except Exception as error:  # What cannot be pickled raises errors of many kinds.
            raise ValueError(
                f"the training data ({self._name}) cannot be copied to worker processes ({error}); read it "
                "in the trial's own process (no workers), or let it open in __iter__ what cannot be copied"
            ) from error

    def _requests(self) -> Iterator[_Request]:
        while True:
            yield self._epochs, self._dropped

    def _check(self, drawn: _Drawn) -> None:
        """Look at the first batch of a worker in an epoch."""
        if drawn.first is None:
            return
        of_all = f"worker {drawn.worker} of {self._parts} reads" if self._parts > 1 else "it has"
        total = self._given[drawn.worker] + drawn.num_samples
        if drawn.num_samples < self._batch_size and total < self._batch_size:
            raise ValueError(
                f"batch_size is {self._batch_size} and the training data ({self._name}) is shorter: {of_all} "
                f"only {total} samples in an epoch; choose a batch_size of at most {total}, or fewer workers"
            )
        other = self._firsts.setdefault(drawn.first, drawn.worker)
        if other != drawn.worker:
            raise ValueError(
                f"workers {other} and {drawn.worker} read the same samples of the training data "
                f"({self._name}), {SHARED_DATA}"
            )


_Request = tuple[int, tuple[int, ...]]
"""Number of the epoch, and samples of it to drop first, by worker."""


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    worker: int
    number: int
    """Number of the epoch, from 0."""
    batch: Batch | None = None
    """None when the epoch has ended for this worker."""
    num_samples: int = 0
    first: str | None = None
    """Digest of the first samples of the epoch; with the first draw of it only."""


class _Part:
    """Reads what one worker gets of the dataset."""

    def __init__(self, dataset: IterableDataset[Any], batch_size: int, shuffle: int, seed: int) -> None:
        self._dataset, self._batch_size, self._shuffle, self._seed = dataset, batch_size, shuffle, seed
        self._number = -1
        self._samples: Iterator[Any] = iter(())
        self._states: dict[str, Any] | None = None

    def draw(self, request: _Request) -> _Drawn:
        number, dropped = request
        info = get_worker_info()
        worker = 0 if info is None else info.id
        first = self._begin(number, worker, dropped[worker]) if number != self._number else None
        samples = list(itertools.islice(self._samples, self._batch_size))
        batch = collated(samples) if samples else None
        return _Drawn(worker=worker, number=number, batch=batch, num_samples=len(samples), first=first)

    def draw_aside(self, request: _Request) -> _Drawn:
        """The same in the trial's process, whose random states stay as they are."""
        states = RandomStates()
        before = states.state_dict()
        if self._states is not None:
            states.load_state_dict(self._states)
        try:
            return self.draw(request)
        finally:
            self._states = states.state_dict()
            states.load_state_dict(before)

    def _begin(self, number: int, worker: int, dropped: int) -> str:
        """Begin an epoch; returns the digest of its first samples."""
        self._number = number
        seed_everything(self._seed_of(number))
        if hasattr(self._dataset, "set_epoch"):
            self._dataset.set_epoch(number)
        samples = iter(self._dataset)
        firsts = list(itertools.islice(samples, NUM_COMPARED))
        first = digest(firsts)
        seed_everything(self._seed_of(number, worker))
        all_samples = itertools.chain(firsts, samples)
        self._samples = self._shuffled(all_samples, worker) if self._shuffle > 1 else all_samples
        next(itertools.islice(self._samples, dropped, dropped), None)
        return first

    def _seed_of(self, *key: int) -> int:
        return int(np.random.SeedSequence([self._seed, 3, *key]).generate_state(1)[0])

    def _shuffled(self, samples: Iterator[Any], worker: int) -> Iterator[Any]:
        """Blocks of samples, each permuted by (seed, epoch, worker, block)."""
        for block in itertools.count():
            taken = list(itertools.islice(samples, self._shuffle))
            if not taken:
                return
            rng = np.random.default_rng([self._seed, 4, self._number, worker, block])
            yield from (taken[place] for place in rng.permutation(len(taken)))
