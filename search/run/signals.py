"""Ctrl-C and SIGTERM: the first one lets the running virtual epochs finish, the second one exits."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def heard_signals(on_first: Callable[[int], None] = lambda number: None) -> Iterator[list[int]]:
    """Yields the list of signals received so far; `on_first` is called with the first one.

    Outside the main thread, which alone can handle signals, the list stays empty.
    """
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt
        on_first(number)

    try:
        previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Terminated(KeyboardInterrupt):
    """SIGTERM before a search runs; no SystemExit, which modules and data of the user's own may raise."""


@contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """Before a search runs there is nothing to finish: SIGTERM raises Terminated."""

    def leave(number: int, frame: Any) -> None:
        raise Terminated(number)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
