"""Tries whether a batch size fits into memory, in a process of its own that may die of it.

Reads a JSON object per line: first the setup (`task`, `num_threads`, `gpu_fraction`, `memory` in bytes or
null), then one question each. `options` and `size`: can that be trained? The answer is `true` or `false`.
`options` alone: how many samples has one epoch over the training data? A number, or `null` where nobody
knows. Or `failed: CAUSE`. On a CPU the process ends when it holds more than `memory`: an answer too.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from trainables.build import build_trainer, load_arrays
from trainables.options import TrialOptions, expand_paths
from trainables.process.failure import FailureKind, failure_of
from trainables.progress import DivergedError
from trainables.session import data_key, load_task_class, select_device
from trainables.task import Arrays, Task
from trainables.trainer import Trainer

NUM_STEPS = 2
"""The first one makes the state of the optimizer, which the second one has beside its gradients."""


class BatchProbe:
    """Trains a few steps of one configuration after the other.

    Args:
        task: `package.module:Class`.
        device: where.
        memory: bytes that this process may hold, from its first data on; it ends when it holds more.
    """

    def __init__(self, task: str, device: torch.device, memory: float | None = None) -> None:
        self._task, self._device, self._memory = task, device, memory
        self._data: tuple[str, Arrays] | None = None

    def length(self, options: Mapping[str, Any]) -> int | None:
        """Samples of one epoch over the training data."""
        return self._trainer(options, size=1).virtual_epochs.epoch_samples

    def fits(self, options: Mapping[str, Any], size: int) -> bool:
        """Whether two steps with micro-batches of `size` find the memory that they need."""
        try:
            self._train(self._trainer(options, size))
            return True
        except Exception as error:
            if failure_of(error, "").kind not in (FailureKind.GPU_MEMORY, FailureKind.MEMORY):
                raise
            return False
        finally:
            gc.collect()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _train(self, trainer: Trainer) -> None:
        try:
            with suppress(DivergedError):  # It had the memory.
                trainer.take_steps(NUM_STEPS)
        finally:
            trainer.stream.close()
        if self._device.type == "cuda":
            torch.cuda.synchronize()

    def _trainer(self, options: Mapping[str, Any], size: int) -> Trainer:
        task_class = load_task_class(self._task)
        parsed = task_class.Options.model_validate({**expand_paths(options), "batch_size": size})
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
            began, self._data = self._data is not None, None
            self._data = (key, load_arrays(task_class, options))
            if self._memory is not None and not began:
                _end_above(self._memory)
        return self._data[1]


def _end_above(memory: float) -> None:
    """End this process as soon as more than so many bytes of it are in memory.

    The kernel bounds the address space only, of which libraries take much more than they ever touch, and
    they break in many ways where they do not get it.
    """
    statm, page = Path("/proc/self/statm"), resource.getpagesize()

    def watch() -> None:
        while int(statm.read_text().split()[1]) * page <= memory:
            time.sleep(0.002)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Answer the questions on standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # What tasks print is no answer.
    setup = json.loads(sys.stdin.readline())
    torch.set_num_threads(setup["num_threads"])
    probe = BatchProbe(setup["task"], select_device(setup["gpu_fraction"]), setup["memory"])
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = probe.fits(**question) if "size" in question else probe.length(**question)
            answers.write(json.dumps(answer) + "\n")
        except Exception as error:
            answers.write(f"failed: {failure_of(error, '').cause}\n")
