"""Work in threads that Ctrl-C interrupts immediately."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

from torch.utils.data import get_worker_info

from trainables.process.cores import num_cores

Result = TypeVar("Result")

NUMPY_HEADER = threading.RLock()
"""Held while numpy reads a header: it parses Python text, and CPython 3.11 counts the depth of that for all
threads together, so two at a time may end with `SystemError: AST constructor recursion depth mismatch`."""
_POLL_SECONDS = 0.5
"""A signal that came to another thread ends no wait: Python handles it when the main thread runs again."""


def num_threads() -> int:
    """Threads that decode, one in a worker process; decoding releases Python's lock."""
    if get_worker_info() is not None:
        return 1
    return min(8, num_cores())


def in_threads(function: Callable[[int], Result], count: int, num_threads: int) -> Iterator[Result]:
    """`function` of 0, 1, … count - 1 in order, computed by threads that are only a few numbers ahead.

    Leaving the loop, also by Ctrl-C, waits for no thread: each ends after its current call. With one thread
    everything happens in the caller's.

    Raises:
        Exception: what `function` has raised, at that number's place in the order.
    """
    if num_threads <= 1:
        yield from map(function, range(count))
        return
    orders: SimpleQueue[tuple[int, Future[Result]] | None] = SimpleQueue()
    left = threading.Event()

    def work() -> None:
        while (order := orders.get()) is not None and not left.is_set():
            number, future = order
            try:
                future.set_result(function(number))
            except BaseException as error:
                future.set_exception(error)

    for _ in range(num_threads):
        threading.Thread(target=work, daemon=True).start()
    numbers = iter(range(count))
    pending: deque[Future[Result]] = deque()
    try:
        while True:
            for number in islice(numbers, 4 * num_threads - len(pending)):
                pending.append(Future())
                orders.put((number, pending[-1]))
            if not pending:
                return
            future = pending.popleft()
            while not future.done():
                wait([future], timeout=_POLL_SECONDS)
            yield future.result()
    finally:
        left.set()
        for _ in range(num_threads):
            orders.put(None)
