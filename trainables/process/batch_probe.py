"""Tries whether training steps of a batch size fit into memory, in a process of its own that may die of it.

Reads a JSON object per line: first the limits (`num_threads`, `gpu_fraction`, `memory` in bytes or null),
then one try each (`task`, `options`, `size`). Answers each try with `fits`, `too large`, `failed: CAUSE`, or
`spoiled` where it was too large and the next try needs another process; and a line without a size with
`length N`, the samples of one epoch over the training data, -1 where nobody knows.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainables.build import build_trainer, load_arrays
from trainables.options import TrialOptions
from trainables.process.environment import expand
from trainables.process.failure import FailureKind, failure_of
from trainables.progress import DivergedError
from trainables.session import data_key, load_task_class, select_device
from trainables.task import Arrays, Task
from trainables.trainer import Trainer

NUM_STEPS = 2
"""The first one makes the state of the optimizer, which the second one has beside its gradients."""

_TOO_LARGE = (FailureKind.GPU_MEMORY, FailureKind.MEMORY)

_LIBRARY_SIGNS = (
    "could not create a primitive",
    "could not create a memory",
    "could not execute a primitive",
)
"""What oneDNN says on a CPU when it finds no memory, and at other times too."""


class BatchProbe:
    """Trains a few steps of one configuration after the other.

    Args:
        device: where.
        memory: bytes that this process may hold on a CPU; None is no limit.
    """

    def __init__(self, device: torch.device, memory: float | None = None) -> None:
        self._device, self._memory = device, memory
        self._data: tuple[str, Arrays] | None = None
        self.spoiled = False
        """Later tries here would not tell the truth."""

    def length(self, task: str, options: Mapping[str, Any]) -> int | None:
        """Samples of one epoch over the training data."""
        return self._trainer(task, options, size=1).virtual_epochs.epoch_samples

    def fits(self, task: str, options: Mapping[str, Any], size: int) -> bool:
        """Whether two steps with micro-batches of `size` find the memory that they need."""
        try:
            self._train(task, options, size)
            return True
        except Exception as error:
            if not self._is_of_memory(error):
                raise
            # On a CPU, libraries keep broken what they could not complete.
            self.spoiled = not isinstance(error, torch.OutOfMemoryError)
            return False
        finally:
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _is_of_memory(self, error: Exception) -> bool:
        of_library = self._memory is not None and any(sign in str(error) for sign in _LIBRARY_SIGNS)
        return of_library or failure_of(error, "").kind in _TOO_LARGE

    def _train(self, task: str, options: Mapping[str, Any], size: int) -> None:
        trainer = self._trainer(task, options, size)
        try:
            trainer.take_steps(NUM_STEPS)
        except DivergedError:
            pass  # It had the memory.
        finally:
            trainer.stream.close()
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _trainer(self, task: str, options: Mapping[str, Any], size: int) -> Trainer:
        task_class = load_task_class(task)
        parsed = task_class.Options.model_validate({**expand(options), "batch_size": size})
        return build_trainer(
            task_class,
            parsed,
            self._arrays(task_class, task, options, parsed),
            unit="steps",
            count=NUM_STEPS,
            num_virtual_epochs=1,
            device=self._device,
        )

    def _arrays(
        self, task_class: type[Task], task: str, options: Mapping[str, Any], parsed: TrialOptions
    ) -> Arrays:
        key = data_key(task, options)
        if self._data is None or self._data[0] != key:
            self._data = (key, load_arrays(task_class, parsed))
            if self._memory is not None:
                hold_to(self._memory)
        return self._data[1]


def hold_to(memory: float) -> None:
    """Let this process have so many bytes in memory, what it has by now included.

    The kernel bounds the address space only, in which libraries take much more than they ever touch: of that,
    what is not in memory now is allowed on top.
    """
    pages = Path("/proc/self/statm").read_text().split() if Path("/proc/self/statm").exists() else ["0", "0"]
    reserved, resident = (int(count) * resource.getpagesize() for count in pages[:2])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (reserved - resident + int(memory), hard))


def main() -> None:
    """Answer the tries on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # What tasks print is no answer.
    limits = json.loads(sys.stdin.readline())
    torch.set_num_threads(limits["num_threads"])
    probe = BatchProbe(select_device(limits["gpu_fraction"]), limits["memory"])
    for line in sys.stdin:
        request = json.loads(line)
        task, options, size = request["task"], request["options"], request.get("size")
        try:
            if size is None:
                length = probe.length(task, options)
                answers.write(f"length {-1 if length is None else length}\n")
            else:
                fits = probe.fits(task, options, size)
                answers.write("fits\n" if fits else "spoiled\n" if probe.spoiled else "too large\n")
        except Exception as error:
            answers.write(f"failed: {failure_of(error, '').cause}\n")


if __name__ == "__main__":
    main()
