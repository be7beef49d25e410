"""`batch_size: auto`: the largest batch that fits into memory, found on the real model and data.

Runs in a process of its own, which an unlucky try may end: `main` reads a question as JSON from standard
input and writes the answer as JSON in the last line of standard output.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from trainables.build import build_trainer, load_arrays
from trainables.data.prepared import data_key
from trainables.measure import NUM_STEPS, take_step
from trainables.options import TrialOptions
from trainables.process.failure import FailureKind, failure_of
from trainables.process.gpu_share import select_device
from trainables.session import load_task_class
from trainables.task import Arrays, Task
from trainables.training.trainer import Trainer

UNBOUNDED = 1024
"""The largest batch that is considered where nothing bounds the memory."""
_LONGEST = 2**20
_SECONDS = 300.0
"""A try that takes longer counts as too large."""
MARGIN = 0.05
"""Of a trial's share of a GPU, left free: memory is cut into pieces while a trial runs."""
_NO_MEMORY = ("batch_size", "lr_schedule", "seed")
"""Options of a trial whose values rarely change the memory needed."""


@dataclass(frozen=True)
class LargestBatch:
    """The size, 0 if not even one sample fits, and how it was found."""

    size: int
    bound: str
    """What kept it from being larger."""
    tries: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        tried = f"{self.tries} tries in {self.seconds:.0f} s" if self.tries else "not tried"
        return f"{self.size}, {self.bound} ({tried})"


class BatchProbe:
    """Trains a few steps of one configuration after the other.

    Args:
        task: `package.module:Class`.
        device: where.
        memory: bytes that this process may hold while it trains; not for GPUs.
    """

    def __init__(self, task: str, device: torch.device, memory: float | None = None) -> None:
        self._task, self._device, self._memory = task, device, memory
        self._data: tuple[str, Arrays] | None = None
        self.tries = 0

    def length(self, options: Mapping[str, Any]) -> int | None:
        """Samples of one epoch over the training data; None if unknown."""
        return self._trainer(options, size=1).virtual_epochs.epoch_samples

    def fits(self, options: Mapping[str, Any], size: int) -> bool:
        """Whether two steps with micro-batches of `size`, and a validation, fit into memory."""
        self.tries += 1
        return self._has_memory(lambda: self._train(self._trainer(options, size)))

    def validates(self, options: Mapping[str, Any]) -> bool:
        """Whether a validation alone finds the memory that it needs, which no smaller batch would give it."""
        return self._has_memory(lambda: self._trainer(options, size=1).try_validation())

    def _has_memory(self, use: Callable[[], None]) -> bool:
        try:
            with _limits(self._memory):
                use()
            return True
        except Exception as error:
            if failure_of(error, "").kind not in (FailureKind.GPU_MEMORY, FailureKind.MEMORY):
                raise
            return False
        finally:
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            elif self._memory is not None:
                # What the C library keeps for later would count against the next try.
                ctypes.CDLL(None).malloc_trim(0)

    def _train(self, trainer: Trainer) -> None:
        try:
            for _ in range(NUM_STEPS):
                take_step(trainer)
            trainer.try_validation()
        finally:
            trainer.stream.close()
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _trainer(self, options: Mapping[str, Any], size: int) -> Trainer:
        task_class = load_task_class(self._task)
        parsed = task_class.Options.parse({**options, "batch_size": size})
        return build_trainer(
            task_class,
            parsed,
            self._arrays(task_class, parsed, data_key(self._task, options)),
            unit="steps",
            count=NUM_STEPS,
            num_virtual_epochs=1,
            device=self._device,
        )

    def _arrays(self, task_class: type[Task], options: TrialOptions, key: str) -> Arrays:
        if self._data is None or self._data[0] != key:
            self._data = None  # before the next data are loaded
            self._data = (key, load_arrays(task_class, options))
        return self._data[1]


@contextlib.contextmanager
def _limits(memory: float | None) -> Iterator[None]:
    """Raise MemoryError in the main thread once the process holds more bytes, or the block takes too long.

    The kernel could bound the address space only, of which libraries take much more than they ever touch.
    """
    statm, page, ends = Path("/proc/self/statm"), resource.getpagesize(), time.monotonic() + _SECONDS
    ended, exceeded = threading.Event(), threading.Event()

    def is_too_much() -> bool:
        held = int(statm.read_text(encoding="utf-8").split()[1]) * page
        return time.monotonic() > ends or (memory is not None and held > memory)

    def watch() -> None:
        # A thread sees peaks inside a single operation too, such as a whole backward pass.
        while not ended.wait(1.0 if memory is None else 0.002):
            if is_too_much():
                exceeded.set()
                _thread.interrupt_main(signal.SIGALRM)
                return

    def give_up(*signal_and_frame: Any) -> None:
        raise MemoryError

    previous, thread = signal.signal(signal.SIGALRM, give_up), threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGALRM, previous)
    if exceeded.is_set() or is_too_much():
        raise MemoryError


def largest_for_all(
    probe: BatchProbe, candidates: Iterable[Mapping[str, Any]], bounded: bool
) -> LargestBatch:
    """The largest batch that each of these trials can be trained with, at most the training data.

    Args:
        probe: tries.
        candidates: resolved `trial:` sections.
        bounded: there is a limit of memory; without one nothing is tried, and at most 1024 is found.
    """
    distinct = list({_memory_key(options): options for options in candidates}.values())
    known = [length for options in distinct if (length := probe.length(options)) is not None]
    if not bounded:
        bound = "as nothing bounds the memory (resources.memory_per_trial may)"
        return LargestBatch(min([*known, UNBOUNDED]), bound)
    limit = size = min(known, default=_LONGEST)
    for index, options in enumerate(distinct):
        if not probe.validates(options):
            rule = "lower valid_batch_size, which is 32 unless it is given"
            bound = f"a validation does not fit into memory with {json.dumps(options)}; {rule}"
            return LargestBatch(0, bound)
        # For most trials, one try shows that they need no smaller batch.
        if index == 0 or not probe.fits(options, size):
            size = largest_fitting(partial(probe.fits, options), size)
        if size == 0:
            return LargestBatch(0, f"not even one sample fits into memory with {json.dumps(options)}")
    bound = "the whole training data" if size == limit else "the most that fits into a trial's memory"
    return LargestBatch(size, bound, probe.tries)


def largest_fitting(fits: Callable[[int], bool], limit: int) -> int:
    """The largest size from 1 to `limit` that fits, provided that all smaller ones do; 0 if none does.

    Doubles until a size does not fit, then bisects: at most 2 log2(limit) + 2 tries. Begins with 2, and comes
    to 1 only where that does not fit: normalization over a batch of one is an error.
    """
    low, high = 0, min(2, limit)
    while fits(high):
        low = high
        if low == limit:
            return low
        high = min(2 * high, limit)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def less_margin(gpu_fraction: float) -> float:
    """The share of a GPU within which a batch is looked for."""
    return min(1.0, gpu_fraction) * (1.0 - MARGIN)


def _memory_key(options: Mapping[str, Any]) -> str:
    """Equal for trials that need the same memory: a learning rate takes none, having momentum does."""
    key = {name: value for name, value in options.items() if name not in _NO_MEMORY}
    if isinstance(optimizer := options.get("optimizer"), Mapping):
        key["optimizer"] = {n: v if isinstance(v, str) else bool(v) for n, v in optimizer.items()}
    return json.dumps(key, sort_keys=True)


def main() -> None:
    """Answer the question on standard input, see `search.run.before.largest_batch`."""
    question, began = json.load(sys.stdin), time.monotonic()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what tasks and libraries print, also at the process's end, is no answer
    try:
        torch.set_num_threads(question["num_threads"])
        device = select_device(less_margin(question["gpu_fraction"]))
        memory = None if device.type == "cuda" else question["memory"]
        bounded = device.type == "cuda" or memory is not None
        probe = BatchProbe(question["task"], device, memory)
        found = asdict(largest_for_all(probe, question["candidates"], bounded))
        answer = {**found, "seconds": time.monotonic() - began}
    except Exception as error:
        answer = {"failed": failure_of(error, "").cause}
    with out:
        json.dump(answer, out)
