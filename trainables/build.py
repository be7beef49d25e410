"""Builds a trial's Trainer from its options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from trainables.data.batches import to_device
from trainables.data.iterable_stream import IterableStream
from trainables.data.loader_stream import LoaderStream, known_length, loader_samples
from trainables.data.prepared import with_prepared
from trainables.data.source import as_source
from trainables.data.stream import SampleStream, TrainingStream
from trainables.data.virtual_epoch import Unit, VirtualEpochs
from trainables.findings import a_type
from trainables.function.task import FunctionTask
from trainables.function.trainer import FunctionTrainer
from trainables.imported_options import ImportedSchedule, WeightsOptions
from trainables.networks.own import begin_with, check_model
from trainables.networks.pretrained import load_pretrained
from trainables.optim.ema import WeightAverage
from trainables.optim.lr_schedules import Factor, imported_factor, schedule_factor
from trainables.optim.optimizers import build_optimizer
from trainables.optim.parts import Freezing
from trainables.optim.precision import Precision
from trainables.options import TrialOptions
from trainables.process.process_state import (
    RandomStates,
    clean_process,
    seed_everything,
    use_deterministic_algorithms,
)
from trainables.ranks.batch_norm import synchronize
from trainables.ranks.group import Ranks
from trainables.shareable import OF_A_FUNCTION, check_batch_size, check_shareable
from trainables.task import Arrays, Task
from trainables.training.progress import DivergedError
from trainables.training.trainer import Trainer


def load_arrays(
    task_class: type[Task],
    options: TrialOptions,
    prepared: Path | None = None,
    loaded: Mapping[str, np.ndarray] | None = None,
) -> Arrays:
    """The decoded data of these options; the random numbers in it are seeded, so it is always the same.

    Args:
        prepared: file of what the task's `prepare` returned, see `prepared_file`; written if it is not there.
        loaded: what `load_raw` returned for these options.

    Raises:
        DamagedArraysError: that file is not as it was written.
    """
    arrays = load_raw(task_class, options) if loaded is None else dict(loaded)
    with _seeded():
        torch.set_num_threads(1)  # the order of sums depends on it
        return _read_only(with_prepared(arrays, prepared, lambda: task_class.prepare(options, arrays)))


def load_raw(task_class: type[Task], options: TrialOptions) -> Arrays:
    """The decoded data alone, without what the task computes of them.

    Raises:
        TypeError: the task returned something else.
    """
    with _seeded():
        arrays = task_class.load_data(options)
    if not isinstance(arrays, Mapping):
        raise TypeError(
            f"load_data() of {task_class.__name__} returned {a_type(arrays)}; it must return a dict "
            "of arrays, {} if trials share none"
        )
    return _read_only(arrays)


def _read_only(arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays, which all trials share: none can change what the next one gets."""
    for array in arrays.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return dict(arrays)


@contextmanager
def _seeded() -> Iterator[None]:
    states = RandomStates()
    before, num_threads = states.state_dict(), torch.get_num_threads()
    seed_everything(0)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
        states.load_state_dict(before)


def build_trainer(
    task_class: type[Task],
    options: TrialOptions,
    arrays: Mapping[str, np.ndarray],
    *,
    unit: Unit,
    count: int,
    num_virtual_epochs: int,
    device: torch.device,
    with_validation_data: bool = False,
    ranks: Ranks | None = None,
) -> Trainer:
    """Build task, data, model and optimizer from freshly seeded random states.

    Args:
        arrays: what `load_arrays` returned for these options.
        unit, count: length of a virtual epoch.
        num_virtual_epochs: full length of the trial, which learning-rate schedules need to know.
        with_validation_data: train on the validation data too.
        ranks: the processes that train the model together, see `check_shareable`.
    """
    clean_process()
    if options.deterministic:
        use_deterministic_algorithms()
    seed_everything(options.seed)
    task = task_class(options, arrays)
    train_data = task.all_data() if with_validation_data else task.train_data()
    model = _build_model(task, options, device)
    freezing = Freezing(model, options.freeze) if options.freeze else None
    task.setup(device)
    batch_size = _batch_size(train_data, options)
    average = None if options.ema is None else WeightAverage(model, options.ema)
    _share(ranks, task, model, device, train_data, batch_size)
    stream, epoch_samples = _training_stream(train_data, options, task, batch_size, unit == "epochs", ranks)
    virtual_epochs = VirtualEpochs(
        unit=unit,
        count=count,
        step_samples=batch_size * options.accumulate * task.batches_per_step,
        epoch_samples=epoch_samples,
        batch_samples=batch_size if _has_short_batches(train_data, epoch_samples, batch_size) else None,
    )
    return Trainer(
        task=task,
        model=model,
        stream=stream,
        valid_source=as_source(task.valid_data(), "valid_data()"),
        optimizer=build_optimizer(model, options.optimizer, device, task.layers(model)),
        schedule=_schedule(options, virtual_epochs.end_step(num_virtual_epochs)),
        virtual_epochs=virtual_epochs,
        device=device,
        precision=Precision(options.precision, device),
        accumulate=options.accumulate,
        clip_norm=options.clip_norm,
        average=average,
        valid_batch_size=task.valid_batch_size,
        channels_last=options.channels_last,
        freezing=freezing,
        pretrained=_pretrained(options),
        ranks=ranks,
    )


def _pretrained(options: TrialOptions) -> Callable[[nn.Module], str] | None:
    weights = getattr(options.model, "weights", None)
    return partial(load_pretrained, options=weights) if isinstance(weights, WeightsOptions) else None


def build_training(
    task_class: type[Task],
    options: Any,
    arrays: Mapping[str, np.ndarray] | None,
    *,
    prepared: Path | None,
    number: int,
    folder: Path,
    unit: Unit,
    count: int,
    num_virtual_epochs: int,
    device: torch.device,
    with_validation_data: bool = False,
    ranks: Ranks | None = None,
) -> Trainer | FunctionTrainer:
    """The Trainer of a task, or the one that runs a training function.

    Args:
        arrays: the decoded data; None loads it here.
        prepared: see `load_arrays`.
        number, folder: of the trial.
        ranks: see `build_trainer`.

    Raises:
        ValueError: it is a training function, and there are several processes.
    """
    lengths: dict[str, Any] = {"unit": unit, "count": count, "num_virtual_epochs": num_virtual_epochs}
    if issubclass(task_class, FunctionTask):
        if ranks is not None:
            raise ValueError(f"{task_class.__name__} {OF_A_FUNCTION}")
        return task_class.trainer(options, number=number, folder=folder, device=device, **lengths)
    arrays = load_arrays(task_class, options, prepared) if arrays is None else arrays
    return build_trainer(
        task_class,
        options,
        arrays,
        device=device,
        with_validation_data=with_validation_data,
        ranks=ranks,
        **lengths,
    )


def try_options(task_class: type[Task], options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> str:
    """One training step and one validation of two samples on the CPU, for code that nobody has run yet.

    Returns:
        What of pretrained weights fitted, if there are any.

    Raises:
        Exception: whatever that code raises.
    """
    small = {"batch_size": 2, "valid_batch_size": 2, "accumulate": 1, "compile": False}
    trainer = build_trainer(
        task_class,
        options.model_copy(update=small),
        arrays,
        unit="steps",
        count=1,
        num_virtual_epochs=1,
        device=torch.device("cpu"),
    )
    try:
        fitted = trainer.load_pretrained()
        trainer.try_validation()
        with suppress(DivergedError):  # a matter of the values
            trainer.take_steps(1)
        return fitted
    finally:
        trainer.stream.close()


def _build_model(task: Task, options: TrialOptions, device: torch.device) -> nn.Module:
    model = check_model(task.build_model()).to(device)
    _fill_lazy_modules(task, model, device)
    begin_with(model)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if options.compile:
        model.compile()
    return model


def _share(
    ranks: Ranks | None, task: Task, model: nn.Module, device: torch.device, data: Any, batch_size: int
) -> None:
    """Let these ranks train a model together; a copy of it that is only evaluated has been made."""
    if ranks is None:
        return
    check_shareable(task, data, ranks.size)
    check_batch_size(batch_size, ranks.size)
    ranks.device = device
    if task.options.sync_batch_norm:
        synchronize(model, ranks)


def _schedule(options: TrialOptions, total_steps: int) -> Factor:
    chosen = options.lr_schedule
    if isinstance(chosen, ImportedSchedule):
        return imported_factor(chosen.name, chosen.arguments, total_steps=total_steps)
    return schedule_factor(total_steps=total_steps, **chosen.model_dump())


def _fill_lazy_modules(task: Task, model: nn.Module, device: torch.device) -> None:
    """Give lazy modules (nn.LazyLinear) their weights: their shapes come from a first batch."""
    if not any(isinstance(each, UninitializedParameter) for each in model.parameters()):
        return
    source = as_source(task.valid_data(), "valid_data()")
    batch = source.batch(np.arange(min(2, len(source))), None)
    model.eval()
    with torch.no_grad():
        task.forward(model, to_device(batch, device))
    model.train()


def _batch_size(data: Any, options: TrialOptions) -> int:
    if options.batch_size != "full":
        own = loader_samples(data)[0] if isinstance(data, torch.utils.data.DataLoader) else None
        return own or options.batch_size
    if isinstance(data, torch.utils.data.DataLoader | torch.utils.data.IterableDataset):
        raise ValueError(
            f"batch_size is full, and train_data() gives {a_type(data)}, whose length is unknown "
            "beforehand; give a number"
        )
    return len(as_source(data, "train_data()"))


def _training_stream(
    data: Any, options: TrialOptions, task: Task, batch_size: int, whole_epochs: bool, ranks: Ranks | None
) -> tuple[TrainingStream, int | None]:
    """The stream, and the samples of one epoch where the data has a length."""
    if isinstance(data, torch.utils.data.DataLoader):
        num_batches, (_, epoch_samples) = known_length(data), loader_samples(data)
        if epoch_samples is None and num_batches is not None:
            epoch_samples = num_batches * batch_size
        return LoaderStream(data, whole_epochs=whole_epochs), epoch_samples
    size, seed, num_workers = batch_size, options.seed, task.num_workers
    if isinstance(data, torch.utils.data.IterableDataset):
        shuffle = task.shuffle_buffer
        return IterableStream(
            data, batch_size=size, seed=seed, shuffle=shuffle, num_workers=num_workers
        ), None
    source = as_source(data, "train_data()")
    part = {} if ranks is None else {"rank": ranks.rank, "num_ranks": ranks.size}
    stream = SampleStream(
        source, batch_size=size, seed=seed, whole_epochs=whole_epochs, num_workers=num_workers, **part
    )
    return stream, len(source)


def unused_batch_size(trainer: Trainer | FunctionTrainer, options: Mapping[str, Any]) -> str:
    """What to say where the task's DataLoader makes batches of another size than these options ask for."""
    asked = options.get("batch_size")
    if isinstance(trainer, FunctionTrainer) or not isinstance(asked, int) or asked == trainer.batch_size:
        return ""
    return (
        f"; trial.batch_size is {asked}, and the DataLoader of train_data() makes batches of "
        f"{trainer.batch_size}: give it self.options.batch_size, or leave trial.batch_size out"
    )


def _has_short_batches(data: Any, epoch_samples: int | None, batch_size: int) -> bool:
    """Whether the last batch of each epoch of a DataLoader has fewer samples."""
    is_loader = isinstance(data, torch.utils.data.DataLoader)
    return is_loader and epoch_samples is not None and epoch_samples % batch_size > 0
