"""What a task tells about its data before anything is trained: the samples, and what each of them holds."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from trainables.findings import Finding, Kind

IGNORED = -1
"""Stands for all that has no class in `Contents.labels`."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SampleName:
    """One sample to look at."""

    part: str
    """train or valid"""
    where: str
    """Its file, or `row 12`, or `train sample 12`."""
    num_bytes: int = 0
    """To read for it; 0 where nobody knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What one sample holds; of one that cannot be read, only what is wrong with it."""

    findings: Sequence[Finding] = ()
    digests: Sequence[bytes] = ()
    """SHA-256 of each input: samples with equal ones are the same."""
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    labels: Mapping[int, int] = field(default_factory=dict)
    """How often each class number occurs in the target, and `IGNORED`."""
    sums: np.ndarray | None = None
    """Number, sum and sum of squares of the values by channel: float64 [3, C]; 255 counts as 1 in images."""


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What only all samples together show."""

    findings: Sequence[Finding] = ()
    class_names: Sequence[str] = ()
    """In the order of the class numbers; none where there are no classes."""


DOUBLED = Kind(
    name="in training and validation",
    severity="warning",
    remedy="remove one of the two, unless equal inputs are natural here",
)


class Inspection:
    """Looks at the data of a task, sample by sample. Subclass it, set `samples` and define `look`."""

    samples: Sequence[SampleName]
    root: Path | None = None
    """The folder of the files; None where samples are no files."""
    findings: Sequence[Finding] = ()
    """What is wrong with the data as a whole, such as a folder of an unknown layout."""
    unit: str = "samples"
    """What labels count, as `pixels`."""
    compared: str = "inputs"
    """What `digests` are made of, as `decoded pixels`."""
    doubled: Kind = DOUBLED
    """What it is if a training sample is a validation sample too."""
    num_threads: int = 1
    """In which `look` may be called at the same time."""

    def look(self, number: int) -> Contents:
        """Read one sample. Called once for each; must not keep its pixels."""
        raise TypeError(f"{type(self).__name__} does not define look()")

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        """Called when all were looked at, with what each held."""
        held = {label for of_sample in contents for label in of_sample.labels} - {IGNORED}
        return Conclusion(class_names=[str(number) for number in range(1 + max(held, default=-1))])


_LOOK_SECONDS = 0.5


def in_threads(function: Callable[[int], Result], count: int, num_threads: int) -> Iterator[Result]:
    """`function` of 0, 1, … count - 1 in order, computed by threads that are only a few numbers ahead.

    Leaving the loop, also by Ctrl-C, waits for no thread: each ends after the call that it is in. With one
    thread all happens in the caller's.

    Raises:
        Exception: what `function` has raised, where that number's turn comes.
    """
    if num_threads <= 1:
        yield from map(function, range(count))
        return
    orders: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Result | BaseException]] = queue.SimpleQueue()
    left = threading.Event()

    def work() -> None:
        while (number := orders.get()) is not None and not left.is_set():
            try:
                done.put((number, function(number)))
            except BaseException as error:
                done.put((number, error))

    for _ in range(num_threads):
        threading.Thread(target=work, daemon=True).start()
    early: dict[int, Result | BaseException] = {}
    ordered = 0
    try:
        for number in range(count):
            for ordered_next in range(ordered, min(count, number + 4 * num_threads)):
                orders.put(ordered_next)
                ordered = ordered_next + 1
            while number not in early:
                index, outcome = _next(done)
                early[index] = outcome
            result = early.pop(number)
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        left.set()
        for _ in range(num_threads):
            orders.put(None)


def _next(results: queue.SimpleQueue[Result]) -> Result:
    """The next item. Waiting ends now and then, because a signal does not end it if it came to another
    thread, or just before the waiting began: Python handles it when the main thread runs again.
    """
    while True:
        try:
            return results.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
