"""Tasks of which something goes wrong in a trial: its process dies or hangs, it raises, it diverges."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from patience import PATIENCE
from tiny_tasks import AccuracyMetrics, DigitsTask
from torch import Tensor, nn

from trainables import session

STEPS = 3
"""Of a virtual epoch of these tasks; their searches say so too."""
ALWAYS = 99
_POLL_SECONDS = 0.01
_LEFT_BEHIND = "TUNE_SEARCH_LEFT_BEHIND"


class TracingTask(DigitsTask):
    """Appends `<learning rate> <virtual epoch>` to `data.folder`/trace whenever it begins a virtual epoch."""

    def build_model(self) -> nn.Module:
        self._model = super().build_model()
        return self._model

    @property
    def rate(self) -> float:
        """The learning rate, by which these trials are told apart."""
        return self.options.optimizer.lr

    @property
    def step(self) -> int:
        """The optimizer step of the trial that is under way, from 1; a checkpoint holds it too."""
        norm: Any = self._model[1]  # type: ignore[index]
        return int(norm.num_batches_tracked)

    @property
    def folder(self) -> Path:
        return Path(self.options.data["folder"])

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        if outputs.requires_grad and self.step % STEPS == 1:
            with (self.folder / "trace").open("a") as file:
                file.write(f"{self.rate!r} {self.step // STEPS + 1}\n")
        return super().loss(outputs, batch)


Values = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """What goes wrong in a trial: at `step` in its first `times` attempts, or in what it reports."""

    at_step: Callable[[TracingTask, Tensor], Tensor] = lambda task, loss: loss
    """Gets the loss and gives another, if it gives one at all."""
    step: int = STEPS + 2
    times: int = ALWAYS
    reported: Callable[[int, Values], Values] = lambda virtual_epoch, values: values


class FaultyTask(TracingTask):
    """Has the fault that FAULTS has for its learning rate, unless `data.calm`."""

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        loss, fault = super().loss(outputs, batch), self._fault
        due = outputs.requires_grad and self.step == fault.step and self._claim(fault.times)
        return fault.at_step(self, loss) if due else loss

    def metrics(self) -> AccuracyMetrics:
        virtual_epoch, reported = self.step // STEPS, self._fault.reported
        return _Changed(lambda values: reported(virtual_epoch, values))

    @property
    def _fault(self) -> Fault:
        return Fault() if self.options.data.get("calm") else FAULTS.get(self.rate, Fault())

    def _claim(self, times: int) -> bool:
        """Whether fewer attempts than that have come here before."""
        for attempt in range(times):
            try:
                (self.folder / f"{self.rate}-{attempt}").touch(exist_ok=False)
                return True
            except FileExistsError:
                continue
        return False


class _Changed(AccuracyMetrics):
    def __init__(self, change: Callable[[Values], Values]) -> None:
        super().__init__()
        self._change = change

    def compute(self) -> Values:
        return self._change(super().compute())


def die(task: TracingTask, loss: Tensor) -> Tensor:
    os.kill(os.getpid(), signal.SIGKILL)
    return loss


def stand_still(task: TracingTask, loss: Tensor) -> Tensor:
    os.kill(os.getpid(), signal.SIGSTOP)
    return loss


def die_between_two_files(task: TracingTask, loss: Tensor) -> Tensor:
    """The next checkpoint gets its weights and its state, and no manifest."""
    write = torch.save

    def write_and_die(*args: Any) -> None:
        write(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    torch.save = write_and_die
    return loss


def die_once_saved(task: TracingTask, loss: Tensor) -> Tensor:
    """The next checkpoint is there, and nobody hears of it."""
    session.remove_old_checkpoints = lambda *args, **options: os.kill(os.getpid(), signal.SIGKILL)
    return loss


def complain(task: TracingTask, loss: Tensor) -> Tensor:
    raise RuntimeError(f"step {task.step} is cursed")


def disconnect(task: TracingTask, loss: Tensor) -> Tensor:
    raise ConnectionError("reset by peer")


def exhaust_gpu(task: TracingTask, loss: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def exhaust_memory(task: TracingTask, loss: Tensor) -> Tensor:
    raise MemoryError


def sleep_for_ever(task: TracingTask, loss: Tensor) -> Tensor:
    threading.Event().wait()
    return loss


def keep_the_lock(task: TracingTask, loss: Tensor) -> Tensor:
    """PyDLL keeps the interpreter's lock while it is inside: no other thread of Python can run."""
    ctypes.PyDLL(None).pause()
    return loss


def spoil_loss(task: TracingTask, loss: Tensor) -> Tensor:
    return loss * torch.nan


def spoil_gradient(task: TracingTask, loss: Tensor) -> Tensor:
    """The same loss; the slope of a root at zero is infinite, and that times zero is NaN."""
    return loss + torch.sqrt(loss * 0)


def boast(virtual_epoch: int, values: Values) -> Values:
    return values | {"accuracy": 2.0}


def in_second(value: Any) -> Callable[[int, Values], Values]:
    """Reports this accuracy in the second virtual epoch; none at all with `...`."""

    def change(virtual_epoch: int, values: Values) -> Values:
        if virtual_epoch != 2:
            return values
        return values | {"accuracy": value} if value is not ... else {"loudness": 1.0}

    return change


FAULTS = {
    # Another attempt may help.
    0.001: Fault(die, times=1),
    0.002: Fault(die_between_two_files, times=1),
    0.003: Fault(die_once_saved, times=1),
    0.004: Fault(complain),
    0.005: Fault(disconnect, times=2),
    0.006: Fault(exhaust_memory),
    0.007: Fault(exhaust_gpu),
    0.008: Fault(),
    # No attempt would.
    0.011: Fault(spoil_loss, reported=boast),
    0.012: Fault(spoil_gradient, reported=boast),
    0.013: Fault(reported=in_second(float("inf"))),
    0.014: Fault(reported=in_second(None)),
    0.015: Fault(reported=in_second(...)),
    0.016: Fault(),
    # With a limit on time.
    0.021: Fault(stand_still, times=1),
    0.022: Fault(stand_still),
    0.023: Fault(),
    0.024: Fault(sleep_for_ever, times=1),
    0.025: Fault(keep_the_lock, times=1),
}


class SlowSavingTask(TracingTask):
    """For two trials, whose first virtual epoch is the best, so that others are not saved for their value.

    Each has a process of its own. That of learning rate 0.041 comes to the end of its second virtual epoch
    when the other one has reported that, and saves it only when somebody has gone on with the trial.
    """

    def build_model(self) -> nn.Module:
        (self.folder / f"process-{self.rate}").touch()
        wait(lambda: len(list(self.folder.glob("process-*"))) == 2)
        return super().build_model()

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        if outputs.requires_grad and self.rate == 0.041 and self.step == 2 * STEPS:
            wait(lambda: '"step":2' in Path(self.options.data["journal"]).read_text())
            self._save_late()
        return super().loss(outputs, batch)

    def metrics(self) -> AccuracyMetrics:
        falling = 1 / (self.step // STEPS) - self.rate
        return _Changed(lambda values: values | {"accuracy": falling})

    def _save_late(self) -> None:
        write, trace = session.write_checkpoint, self.folder / "trace"
        begun = trace.read_text()

        def wait_and_write(*args: Any, **options: Any) -> Path:
            session.write_checkpoint = write
            wait(lambda: trace.read_text() != begun, limit=1.0)
            return write(*args, **options)

        session.write_checkpoint = wait_and_write


def wait(until: Callable[[], bool], limit: float = PATIENCE) -> None:
    """Wait for a condition, and no longer than that many seconds."""
    deadline = time.monotonic() + limit
    while not until() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


class MessyTask(TracingTask):
    """The trial with learning rate 0.031 leaves its process in disorder."""

    def build_model(self) -> nn.Module:
        model = super().build_model()
        if self.rate == 0.031:
            make_a_mess()
        return model

    def metrics(self) -> AccuracyMetrics:
        return _Changed(lambda values: values | {"left_behind": float(_LEFT_BEHIND in os.environ)})


def make_a_mess() -> None:
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    torch.nn.modules.module.register_module_forward_hook(lambda module, args, output: output * 2)
    torch.nn.modules.module.register_module_full_backward_hook(lambda module, after, before: None)
    torch.set_default_dtype(torch.float64)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.autograd.set_detect_anomaly(True)
    torch.set_num_threads(3)
    torch.set_flush_denormal(True)
    np.seterr(all="raise")
    os.environ[_LEFT_BEHIND] = "x"
    os.chdir("/")


class FileNeedingTask(TracingTask):
    """Cannot be trained without the file `data.file`."""

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        Path(self.options.data["file"]).read_text()
        return super().loss(outputs, batch)


class HoardingTask(TracingTask):
    """The trial with learning rate 0.051 takes `data.gigabytes` of memory, and keeps them for a while."""

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        if outputs.requires_grad and self.rate == 0.051 and self.step == STEPS + 2:
            taken = []
            while len(taken) < 4 * self.options.data["gigabytes"]:
                taken.append(np.ones(2**28, np.uint8))
                time.sleep(_POLL_SECONDS)
            wait(lambda: False, limit=30.0)
        return super().loss(outputs, batch)
