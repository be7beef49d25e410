"""`batch_size: auto`: the largest batch that fits into memory, found on the real model and data."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from search.config.auto_batch import AutoBatch
from search.config.document import read_document
from search.config.schema import Resources
from search.config.stages import SearchConfig, read_search
from search.errors import SearchError
from search.run.folder import RunFolder
from search.text import compact, value_at

UNBOUNDED = 1024
"""The largest batch that is looked for where nothing bounds the memory."""
_LONGEST = 2**20
_SECONDS = 300.0
"""A try that takes longer counts as too large."""
_NO_MEMORY = ("batch_size", "optimizer", "lr_schedule", "seed")
"""Options of a trial of which most values need the same memory."""


@dataclass(frozen=True)
class LargestBatch:
    """What was found, and how."""

    size: int
    tries: int
    seconds: float
    bound: str
    """What kept it from being larger."""

    def __str__(self) -> str:
        tried = f"{self.tries} tries in {self.seconds:.0f} s" if self.tries else "not tried"
        return f"{self.size}, {self.bound} ({tried})"


def settled(search: SearchConfig, folder: RunFolder | None, report: Callable[[str], None]) -> SearchConfig:
    """The configuration with the largest batch that fits in the place of `auto`.

    In a folder where a search has begun it is the number that was found then, whatever this machine has.

    Raises:
        ConfigError: a range begins above it.
        SearchError: it cannot be found, see `find_largest_batch`.
    """
    auto = search.auto_batch
    if auto is None:
        return search
    size = _recorded(auto, folder)
    if size is not None:
        report(f"batch_size: auto is {size}, as when this search began")
    else:
        report("looking for the largest batch that fits")
        found = find_largest_batch(search.first.task_path, candidates(search), search.first.resources)
        size = found.size
        report(f"batch_size: auto is {found}")
    return read_search(auto.with_size(size))


def candidates(search: SearchConfig) -> list[Mapping[str, Any]]:
    """Trials of the search, of all of its stages, with each option and both ends of each range."""
    spaces = [config.space for stage in search.stages for config in stage.configs]
    return [resolved.options for space in spaces for resolved in space.candidates()]


def _recorded(auto: AutoBatch, folder: RunFolder | None) -> int | None:
    if folder is None or not folder.has_begun:
        return None
    value = value_at(read_document(folder.config).tree, auto.paths[0])
    return value if isinstance(value, int) else None


def find_largest_batch(
    task: str, candidates: Iterable[Mapping[str, Any]], resources: Resources
) -> LargestBatch:
    """The largest batch that every one of these trials can be trained with.

    On a GPU, within the trial's share of its memory; on a CPU within `resources.memory_per_trial`, and
    without one the length of the training data, at most 1024.

    Args:
        task: `package.module:Class`.
        candidates: resolved `trial:` sections.
        resources: of a trial.

    Raises:
        SearchError: not even one sample fits, a step fails by something else, or the GPU that a trial is to
            have is not on this machine.
    """
    if resources.gpus_per_trial > 0 and not torch.cuda.is_available():
        raise SearchError(
            "batch_size: auto is found on the machine where the search is started, and there is no GPU here; "
            "write a number"
        )
    began = time.monotonic()
    distinct = list(_distinct(candidates))
    with closing(_Prober(task, resources)) as prober:
        known = [length for options in distinct if (length := prober.length(options)) is not None]
        if resources.gpus_per_trial <= 0 and resources.memory_per_trial is None:
            bound = "as nothing bounds the memory (resources.memory_per_trial may)"
            return LargestBatch(min([*known, UNBOUNDED]), 0, time.monotonic() - began, bound)
        limit = size = min(known, default=_LONGEST)
        for index, options in enumerate(distinct):
            # Of most trials, one try shows that they bound nothing.
            if index == 0 or not prober.fits(options, size):
                size = largest_fitting(partial(prober.fits, options), size)
            if size == 0:
                raise SearchError(
                    f"batch_size: auto: not even one sample fits into memory with {compact(options)}"
                )
    bound = "the whole training data" if size == limit else "the most that fits into a trial's memory"
    return LargestBatch(size, prober.tries, time.monotonic() - began, bound)


def largest_fitting(fits: Callable[[int], bool], limit: int) -> int:
    """The largest size from 1 to `limit` that fits, where all smaller ones do; 0 if none does.

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
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def _distinct(candidates: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The candidates that may differ in the memory that they need, each once."""
    seen: set[str] = set()
    for options in candidates:
        key = compact({name: value for name, value in options.items() if name not in _NO_MEMORY})
        optimizer = options.get("optimizer")
        if isinstance(optimizer, Mapping):
            # A learning rate takes no memory; whether there is momentum does.
            kinds = {name: v if isinstance(v, str | bool) else v != 0 for name, v in optimizer.items()}
            key += compact(kinds)
        if key not in seen:
            seen.add(key)
            yield dict(options)


class _Prober:
    """Asks a process that tries (`trainables.batch_probe`); one that dies has found a size too large."""

    def __init__(self, task: str, resources: Resources) -> None:
        self._setup = {
            "task": task,
            "num_threads": max(1, int(resources.cpus_per_trial)),
            "gpu_fraction": resources.gpus_per_trial,
            "memory": resources.memory_per_trial,
        }
        self._process: subprocess.Popen[str] | None = None
        self.tries = 0

    def length(self, options: Mapping[str, Any]) -> int | None:
        """Samples of one epoch over the training data; None where nobody knows."""
        answer = self._ask({"options": options})
        if answer is None:
            raise SearchError(
                "batch_size: auto: the process that was to try died of a trial's data and model, or hung; "
                "give a trial more memory, or write a number"
            )
        return json.loads(answer)

    def fits(self, options: Mapping[str, Any], size: int) -> bool:
        self.tries += 1
        return self._ask({"options": options, "size": size}) == "true"

    def _ask(self, request: Mapping[str, Any]) -> str | None:
        """The answer; None if the process died of the question."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        hanging = threading.Timer(_SECONDS, process.kill)
        hanging.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        finally:
            hanging.cancel()
        if answer.startswith("failed: "):
            raise SearchError(f"batch_size: auto: {answer.removeprefix('failed: ')}")
        if not answer:
            self.close()
        return answer or None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            # Tasks of the user's are found from where this process finds them.
            probe = "from trainables.batch_probe import main; main()"
            code = f"import sys; sys.path[:] = {sys.path!r}; {probe}"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(self._setup) + "\n")
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
