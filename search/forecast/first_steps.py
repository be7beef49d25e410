"""Builds the trainer of one configuration in this process, and times it before any search runs."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from search.config.config import Config
from search.errors import SearchError
from search.run.data.errors import data_errors
from trainables.build import build_training, load_arrays
from trainables.data.virtual_epoch import Unit, VirtualEpochs
from trainables.function.trainer import FunctionTrainer
from trainables.process.failure import failure_of
from trainables.process.gpu_share import select_device
from trainables.training.progress import DivergedError
from trainables.training.trainer import Trainer

Training = Trainer | FunctionTrainer


class FirstSteps(NamedTuple):
    """What one configuration takes, by a step or two of it."""

    params: Mapping[str, Any]
    lengths: VirtualEpochs
    """Lengths of the virtual epochs that a search of it has."""
    step: float
    """Seconds of an optimizer step; 0 for a training function, whose steps nobody sees."""
    rest: float
    """Seconds of a virtual epoch besides; all of it for a training function."""
    checkpoint_bytes: int


def first_steps(config: Config, report: Callable[[str], None]) -> FirstSteps:
    """Take two steps of the first configuration of a space, and validate one batch.

    Of a training function one virtual epoch is trained.

    Raises:
        SearchError: the data cannot be read, or the code of the task raises.
    """
    first = next(iter(config.space.candidates()))
    with tempfile.TemporaryDirectory(prefix="tune-search-plan-") as folder:
        unit, count = config.virtual_epoch.unit, config.virtual_epoch.count
        try:
            trainer = build(config, first.options, report, Path(folder), unit=unit, count=count)
            with closing(trainer), data_errors(config.task_path, config.file, config.places):
                report("timing the first steps")
                step, rest = _timed(trainer)
                return FirstSteps(first.params, trainer.virtual_epochs, step, rest, state_size(trainer))
        except SearchError:
            raise
        except Exception as error:  # of code that this program does not know
            cause = failure_of(error, "").cause
            raise SearchError(f"the first configuration of the space cannot be trained: {cause}") from error


def build(
    config: Config,
    values: Mapping[str, Any],
    phase: Callable[[str], None],
    folder: Path,
    *,
    unit: Unit,
    count: int,
) -> Training:
    """The trainer of one trial.

    Args:
        config: of the search.
        values: the resolved `trial:` section.
        phase: is given what is being done.
        folder: of the trial.
        unit, count: length of a virtual epoch.
    """
    task_class = config.task_class()
    options = task_class.Options.parse(values)
    phase("loading data")
    with data_errors(config.task_path, config.file, config.places):
        arrays = load_arrays(task_class, options)
    phase("building the model")
    resources = config.resources.of(values)
    torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
    device = select_device(resources.gpus_per_trial)
    with data_errors(config.task_path, places=config.places):
        return build_training(
            task_class,
            options,
            arrays,
            prepared=None,
            number=0,
            folder=folder,
            unit=unit,
            count=count,
            num_virtual_epochs=config.budget.max_virtual_epochs,
            device=device,
        )


def state_size(trainer: Training) -> int:
    """Size of the tensors in a checkpoint, in bytes."""

    def size(value: Any) -> int:
        if isinstance(value, torch.Tensor):
            return value.nbytes
        if isinstance(value, Mapping):
            return sum(size(item) for item in value.values())
        return sum(size(item) for item in value) if isinstance(value, list | tuple) else 0

    return size(trainer.weights()) + size(trainer.state_dict())


def _timed(trainer: Training) -> tuple[float, float]:
    """Seconds of a step, and of a virtual epoch besides its steps."""
    if isinstance(trainer, FunctionTrainer):
        return 0.0, _seconds(trainer.run_virtual_epoch)
    _seconds(lambda: trainer.take_steps(1))  # the first one is slower than those after it
    step = _seconds(lambda: trainer.take_steps(1))
    _seconds(trainer.try_validation)
    batches = -(-len(trainer.valid_source) // trainer.valid_batch_size)
    return step, batches * _seconds(trainer.try_validation)


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    with suppress(DivergedError):  # it takes its time all the same
        run()
    return time.perf_counter() - began
