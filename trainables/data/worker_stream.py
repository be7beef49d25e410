"""The endless stream of training samples, its batches made ahead of time by worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from trainables.data.source import Batch, BatchSource
from trainables.data.stream import SampleStream
from trainables.data.virtual_loader import raise_if_worker_died

BATCHES_AHEAD = 2
"""Batches that each worker has begun or finished before they are asked for."""

PRELOADED = ("torch", "torch.utils.data")
"""Imported once, by the process from which the workers are forked, with the module of the source."""

Request = tuple[np.ndarray, np.ndarray]


class WorkerStream(SampleStream):
    """A SampleStream that is the same bit for bit, and whose source is read in other processes.

    The workers are started with the first batch, by a process without threads ("forkserver": forking a
    trial's process, which has threads, has hung), and stay until `close`. What a worker gets is the indices
    and random numbers of a whole micro-batch, both functions of its position in the stream; so neither the
    number of workers nor the batches that were made ahead matter to a position.

    Args:
        source: goes to every worker as a copy (pickled), so it should hold file names and no pixels.
        batch_size, seed, whole_epochs: as of SampleStream.
        num_workers: processes, 1 or more.

    Raises:
        ValueError: from `next_step`, as the source raises it.
        RuntimeError: from `next_step`, naming a worker that was killed, or with the trace of a worker.
    """

    def __init__(
        self,
        source: BatchSource,
        *,
        batch_size: int,
        seed: int,
        num_workers: int,
        whole_epochs: bool = False,
    ) -> None:
        if num_workers < 1:
            raise ValueError(f"num_workers is {num_workers}; it must be 1 or more")
        super().__init__(source, batch_size=batch_size, seed=seed, whole_epochs=whole_epochs)
        self._num_workers = num_workers
        self._made: Iterator[_Made | _Refused] | None = None

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.close()

    def close(self) -> None:
        """End the workers, and wait until they are gone."""
        made, self._made = self._made, None
        shut_down = getattr(made, "_shutdown_workers", None)
        if shut_down is not None:  # Else they would live as long as a trace that holds the iterator.
            shut_down()

    def _next_batch(self) -> Batch:
        try:
            made = self._take()
            _add_findings(self._source, made.findings)
        except BaseException:
            self.close()
            raise
        self.position += self._size(self.position)
        return made.batch

    def _take(self) -> _Made:
        if self._made is None:
            requests = self._requests(self.position)
            self._made = iter(endless_loader(_Worker(self._source), requests, self._num_workers))
        try:
            made = next(self._made)
        except (ConnectionError, EOFError) as error:
            raise_if_worker_died(self._made, error)
            raise
        if isinstance(made, _Refused):
            raise ValueError(made.text)
        return made

    def _requests(self, start: int) -> Iterator[Request]:
        while True:
            yield self._request(start)
            start += self._size(start)


def endless_loader(dataset: Dataset[Any], requests: Iterable[Any], num_workers: int) -> DataLoader:
    """Hands each request to a worker in its turn, and gives what `dataset[request]` is, in the same order."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=_Requests(requests),
        num_workers=num_workers,
        prefetch_factor=BATCHES_AHEAD,
        collate_fn=_as_it_is,
        multiprocessing_context=context,
        worker_init_fn=_belong_to_the_trial,
        # Of its own: a worker's seed would be drawn from the random state that the model uses.
        generator=torch.Generator(),
    )


@dataclass(frozen=True)
class _Made:
    batch: Batch
    findings: list[Any]
    """What the source's copy in the worker met since the last batch."""


@dataclass(frozen=True)
class _Refused:
    text: str


class _Requests(Sampler[Any]):
    """Hands on what to make; it has no end."""

    def __init__(self, requests: Iterable[Any]) -> None:
        self._each = requests

    def __iter__(self) -> Iterator[Any]:
        return iter(self._each)


class _Worker(Dataset[Any]):
    """What each worker process has: makes the batch of a request."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def __getitem__(self, request: Request) -> _Made | _Refused:
        try:
            batch = self._source.batch(*request)
        except ValueError as error:  # Told as it is; of anything else the trace in the worker matters.
            return _Refused(str(error))
        return _Made(batch, _take_findings(self._source))


def _take_findings(source: Any) -> list[Any]:
    """A source that counts something gives what its copy has found, and forgets it."""
    return source.take_findings() if hasattr(source, "take_findings") else []


def _add_findings(source: Any, findings: list[Any]) -> None:
    if findings:
        source.add_findings(findings)


def _as_it_is(made: Any) -> Any:
    return made


def _belong_to_the_trial(worker: int) -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the trial, and end when the trial ends.

    A killed trial tells nobody, and the process that forked this one lives as long as this one does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trial = multiprocessing.parent_process()
    assert trial is not None
    threading.Thread(target=_end_with, args=(trial.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
