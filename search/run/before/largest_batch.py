"""`batch_size: auto`: has the largest batch found that fits into memory, see `trainables.batch_probe`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from search.config.auto_batch import AutoBatch
from search.config.document import read_document
from search.config.schema import Resources
from search.config.stages import SearchConfig, read_search
from search.errors import RefusedError, SearchError
from search.run.disk.folder import RunFolder
from search.text import value_at
from trainables.batch_probe import LargestBatch


def with_largest_batch(
    search: SearchConfig, folder: RunFolder | None, report: Callable[[str], None]
) -> SearchConfig:
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
        found = _smallest(search)
        size = found.size
        report(f"batch_size: auto is {found}")
    return read_search(auto.with_size(size))


def _smallest(search: SearchConfig) -> LargestBatch:
    """The largest batch for the trials of each size, of which the smallest fits all of them."""
    found = [
        find_largest_batch(search.first.task_path, trials, resources) for resources, trials in by_size(search)
    ]
    return min(found, key=lambda each: each.size)


def by_size(search: SearchConfig) -> list[tuple[Resources, list[Mapping[str, Any]]]]:
    """Trials of the search, of all of its stages, with each option and both ends of each range.

    Those that take the same resources are together.
    """
    found: list[tuple[Resources, list[Mapping[str, Any]]]] = []
    for config in (config for stage in search.stages for config in stage.configs):
        for resolved in config.space.candidates():
            resources = config.resources.of(resolved.options)
            alike = next((trials for other, trials in found if other == resources), None)
            if alike is None:
                found.append((resources, [resolved.options]))
            else:
                alike.append(resolved.options)
    return found


def _recorded(auto: AutoBatch, folder: RunFolder | None) -> int | None:
    if folder is None or not folder.has_begun:
        return None
    value = value_at(read_document(folder.config).tree, auto.paths[0])
    return value if isinstance(value, int) else None


def find_largest_batch(
    task: str, candidates: Iterable[Mapping[str, Any]], resources: Resources
) -> LargestBatch:
    """The largest batch that every one of these trials, resolved `trial:` sections, can be trained with.

    On a GPU, within the trial's share of its memory; on a CPU within `resources.memory_per_trial`, and
    without one the length of the training data, at most 1024.

    Raises:
        SearchError: not even one sample fits, a step fails for another reason, or the GPU that a trial is to
            have is not on this machine.
    """
    if resources.workers_per_trial > 1:
        raise RefusedError(
            "batch_size: auto is found in one process, and resources.workers_per_trial is "
            f"{resources.workers_per_trial}, which share a batch; write a number"
        )
    if resources.gpus_per_trial > 0 and not torch.cuda.is_available():
        raise RefusedError(
            "batch_size: auto is found on the machine where the search is started, and there is no GPU here; "
            "write a number"
        )
    question = {
        "task": task,
        "candidates": list(candidates),
        "num_threads": max(1, int(resources.cpus_per_trial)),
        "gpu_fraction": resources.gpus_per_trial,
        "memory": resources.memory_per_trial,
    }
    # The user's tasks are found from where this process finds them.
    code = f"import sys; sys.path[:] = {sys.path!r}; from trainables.batch_probe import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(question),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        encoding="utf-8",
    )
    if done.returncode != 0:
        raise SearchError(
            f"batch_size: auto: the process that tried sizes died (exit code {done.returncode}); "
            "give a trial more memory, or write a number"
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    if "failed" in answer:
        raise SearchError(f"batch_size: auto: {answer['failed']}")
    found = LargestBatch(**answer)
    if found.size == 0:
        raise SearchError(f"batch_size: auto: {found.bound}")
    return found
