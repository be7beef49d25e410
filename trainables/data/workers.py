"""Worker processes that make batches ahead of time, as torch's DataLoader runs them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from trainables.data.handover import iterator_of, unpacked
from trainables.process.patches import loader_workers, shut_down_workers

BATCHES_AHEAD = 2
"""Requests per worker that have been handed out before their results are needed."""

PRELOADED = ("torch", "torch.utils.data")
"""Imported once, by the process from which the workers are forked."""

DYING_SECONDS = 5.0
"""Between the end of a worker's pipe and that of its process."""

Request = TypeVar("Request")
Result = TypeVar("Result")


class Workers(Generic[Request, Result]):
    """Hands each request to the next worker in turn, and gives the results in the order of the requests.

    The workers are forked by a process without threads ("forkserver": forking a trial's process, which has
    threads, has hung), and stay until `close`.

    Args:
        make: from a request to its result. It goes to every worker as a copy (pickled).
        requests: without an end; handed out ahead of time.
        num_workers: processes, 1 or more.
    """

    def __init__(
        self, make: Callable[[Request], Result], requests: Iterable[Request], num_workers: int
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        loader: DataLoader[Any] = DataLoader(
            _Made(make),
            batch_size=None,
            sampler=_Requests(requests),
            num_workers=num_workers,
            prefetch_factor=BATCHES_AHEAD,
            collate_fn=_unchanged,
            multiprocessing_context=context,
            worker_init_fn=_belong_to_the_trial,
            # Its own: otherwise a worker's seed is drawn from the random state that the model uses.
            generator=torch.Generator(),
        )
        self._iterator = iterator_of(loader)

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        """The next result.

        Raises:
            ValueError: as `make` raised it.
            RuntimeError: a worker was killed; the message names it. Any other error carries its trace.
        """
        result = next_from(self._iterator)
        if isinstance(result, _Refused):
            raise ValueError(result.text)
        return result

    def close(self) -> None:
        """End the workers, and wait until they are gone."""
        shut_down_workers(self._iterator)


def next_from(iterator: Iterator[Any], *default: Any) -> Any:
    """`next(iterator, *default)` for the iterator of a DataLoader, naming a worker that has died.

    A DataLoader may report only that the pipe broke, and a moment later, wherever the program then is, that
    the worker was killed. Here its end is waited for, and reported once.

    Raises:
        RuntimeError: a worker has died; the message has its process id and exit code.
    """
    try:
        return unpacked(next(iterator, *default))
    except (ConnectionError, EOFError) as error:
        workers = {worker.sentinel: worker for worker in loader_workers(iterator)}
        for sentinel in wait(list(workers), DYING_SECONDS) if workers else ():
            worker = workers[sentinel]  # type: ignore[index]
            worker.join()
            raise RuntimeError(
                f"DataLoader worker (pid {worker.pid}) ended unexpectedly, with exit code {worker.exitcode}"
            ) from error
        raise


@dataclass(frozen=True)
class _Refused:
    text: str


class _Made(Dataset[Any]):
    """Makes the result of a request, in a worker process."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __getitem__(self, request: Any) -> Any:
        try:
            return self._make(request)
        except (
            ValueError
        ) as error:  # Reported as it is; with any other error, its trace in the worker matters.
            return _Refused(str(error) or repr(error))


class _Requests(Sampler[Any]):
    def __init__(self, requests: Iterable[Any]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[Any]:
        return iter(self._requests)


def _unchanged(result: Any) -> Any:
    return result


def _belong_to_the_trial(worker: int) -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the trial, and end when the trial ends.

    A killed trial notifies nobody, and the process that forked this one lives as long as this one does.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trial = multiprocessing.parent_process()
    assert trial is not None
    threading.Thread(target=_end_with, args=(trial.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
