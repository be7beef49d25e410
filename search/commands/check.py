"""Checks a configuration with a few training steps and one validation, and makes the plan of the search."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from search.budget.words import budget_text, expected_trials, full_trainings
from search.commands.check_data import DataCheck, drawn_inspection, inspected
from search.commands.check_own import doubts, gradients_seen
from search.config.config import Config
from search.config.objectives import reported
from search.config.sizes import notes_of_unused
from search.config.stages import SearchConfig, load_config
from search.config.tasks import BUILT_IN
from search.errors import RefusedError, SearchError
from search.forecast.buys import buys
from search.forecast.costs import Costs, TrialCost
from search.forecast.first_steps import Training, build, state_size
from search.race.cost import ConfirmPlan, confirm_plan
from search.ray.hosts import Host
from search.run.before.first_try import try_imported
from search.run.before.fit import concurrent_trials, sizes_text
from search.run.before.largest_batch import with_largest_batch
from search.run.before.priors import resolved_priors
from search.run.before.provenance import task_source
from search.run.before.several_processes import refuse_unshareable, timed_alone
from search.run.confirm import refuse_other_splits
from search.run.data.errors import data_errors
from search.run.data.record import compared, find_data, read_data
from search.run.disk.folder import RunFolder
from search.run.retention import space_needed
from search.samplers.first_try import try_sampler
from search.schedulers.base import Scheduler
from search.schedulers.build import build_scheduler
from search.text import short_path, value_at
from trainables.build import unused_batch_size
from trainables.data.prepared import data_key
from trainables.data.source import as_source
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.function.trainer import FunctionTrainer
from trainables.process.cores import num_cores
from trainables.task import Task
from trainables.training.trainer import Trainer

_NUM_STEPS = 3
_SIMULATING = 0.5
"""Seconds that simulated searches may take."""
NUM_LOOKED_AT = 64
"""Samples of each part whose contents are described."""


@dataclass(frozen=True)
class Check:
    """The resolved plan of a search, and what was measured on one trial."""

    config: Config
    named_by_file: bool
    """See `SearchConfig`."""
    params: Mapping[str, Any]
    """Hyperparameters of the trial that was run, with the first option of every choice."""
    num_parameters: int
    num_train: int | None
    num_valid: int | None
    seconds_per_step: float
    seconds_per_validation: float
    metrics: Mapping[str, float]
    rungs: str
    steps_per_virtual_epoch: int
    expected_virtual_epochs: int | None
    concurrency: int
    device: str
    task_file: str
    """The file with the task's code."""
    checkpoint_bytes: int
    """Approximate size of one checkpoint."""
    space_needed: float
    """Largest size of all checkpoints of the search, in bytes."""
    largest_batch: str | None
    """What `batch_size: auto` resolved to, and how; None if it is not used."""
    data_changes: tuple[str, ...] = ()
    """How the data differ from those of the run of this name, or why that would not be noticed."""
    doubts: tuple[str, ...] = ()
    """What of pretrained weights was loaded, and what looks wrong about a task of the user's own."""
    model: str = ""
    """Its name, and the shapes of its input and output for one batch."""
    batch: str = ""
    """Samples of one optimizer step, and of which factors."""
    epochs_per_virtual_epoch: float | None = None
    """Passes over the training data."""
    data: DataCheck | None = None
    """What was understood of some samples; None for a task of the user's own without an inspection."""
    picture: np.ndarray | None = None
    """Some samples as training gets them: uint8 [H, W, 3]."""
    expected_trials: int | None = None
    """Trials that the search should have."""
    expected_seconds: float | None = None
    """Wall time of the search, if all trials were as fast as the one that was run."""
    full_trainings: float = math.inf
    """Trainings of full length that the limits of compute are worth, inf without one."""
    budget: str = ""
    """The limits of the search, and what they are worth."""
    sizes: str = ""
    """How many trials of each size run at once, where not all take the same resources."""
    priors: tuple[str, ...] = ()
    """What `priors:` has set, and what it has not and why."""
    stages: tuple[str, ...] = ()
    """Names of the stages, if there are any; the plan is that of the first."""
    confirm: ConfirmPlan | None = None
    """What follows the search."""


def check(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    priors_from: str | Path | None = None,
    phase: Callable[[str], None] = lambda text: None,
) -> Check:
    """Validate a configuration, build its data and model, train a few steps and validate once.

    Args:
        priors_from: see `search`.

    Raises:
        ConfigError: the configuration is wrong.
        SearchError: a trial needs more than this machine has, or the objective is not among the metrics.
    """
    written = load_config(config, overrides, priors_from=priors_from)
    search, lines, priors = _resolved(written, phase)
    loaded = search.first
    here, of_stages = [_this_machine()], [c.resources.of_any_kind for s in search.stages for c in s.configs]
    concurrency, *_ = [concurrent_trials(of_trials, here) for of_trials in of_stages]
    first = next(iter(loaded.space.candidates()))
    tried = _try(loaded, first.options, phase, raced=search.confirm is not None)
    trainer = tried.trainer
    scheduler, budget = build_scheduler(loaded), loaded.budget
    lengths = replace(
        trainer.virtual_epochs, unit=loaded.virtual_epoch.unit, count=loaded.virtual_epoch.count
    )
    steps, epoch_samples = lengths.end_step(1), lengths.epoch_samples
    return Check(
        config=loaded,
        named_by_file=search.named_by_file,
        model=f"{value_at(first.options, ('model', 'name'), type(trainer.model).__name__)}{tried.shapes}",
        batch=_batch(trainer, lengths.step_samples) + unused_batch_size(trainer, first.options),
        epochs_per_virtual_epoch=steps * lengths.step_samples / epoch_samples if epoch_samples else None,
        data=tried.data,
        picture=tried.picture,
        params=first.params,
        num_parameters=sum(p.numel() for p in trainer.model.parameters()),
        num_train=trainer.virtual_epochs.epoch_samples,
        num_valid=len(as_source(trainer.valid_source)) if isinstance(trainer, Trainer) else None,
        seconds_per_step=tried.seconds_per_step,
        seconds_per_validation=tried.seconds_per_validation,
        metrics=tried.metrics,
        rungs=scheduler.rungs.describe(budget.max_virtual_epochs, lengths, scheduler.first_bracket),
        steps_per_virtual_epoch=steps,
        **_expected(loaded, scheduler, lengths, tried, concurrency),
        budget=budget_text(budget, lengths),
        concurrency=concurrency,
        sizes=sizes_text(of_stages[0], here),
        device=str(trainer.device),
        task_file=task_source(loaded)["file"],
        checkpoint_bytes=tried.state_bytes,
        largest_batch=lines[-1].partition(": ")[2] if lines else None,
        priors=tuple(priors),
        stages=tuple(stage.name for stage in search.stages if stage.name),
        data_changes=_data_notes(loaded, trainer),
        doubts=(*tried.doubts, *notes_of_unused(of_stages)),
        confirm=confirm_plan(search, lengths),
    )


def _resolved(
    search: SearchConfig, phase: Callable[[str], None]
) -> tuple[SearchConfig, list[str], list[str]]:
    """The configuration that a search has, and lines on its largest batch size and on its priors."""
    lines, priors = list[str](), list[str]()

    def report(line: str) -> None:
        lines.append(line)
        phase(line)

    search = with_largest_batch(search, None, report)
    return resolved_priors(search, _folder(search.name), priors.append), lines, priors


def _expected(
    config: Config, scheduler: Scheduler, lengths: VirtualEpochs, tried: _Tried, concurrency: int
) -> dict[str, Any]:
    """What the budget should come to, as fields of a `Check`."""
    budget, length = config.budget, config.budget.max_virtual_epochs
    seconds = tried.seconds_per_validation + tried.seconds_per_step * lengths.end_step(1)
    gpus = config.resources.gpus_per_trial
    trainings = full_trainings(budget, lengths, seconds, concurrency, gpus)
    at_most = expected_trials(budget, scheduler, lengths, trainings, config.scheduler.audit)
    cost = TrialCost(params={}, lengths=lengths, seconds=(seconds,), trained=seconds)
    bought = buys(config, Costs(trials=(cost,)), concurrency, seconds=_SIMULATING)
    trials = round(bought.trials.middle)
    return {
        "expected_trials": trials,
        "expected_virtual_epochs": round(bought.full_trainings.middle * length),
        "expected_seconds": bought.seconds.middle,
        "full_trainings": trainings,
        "space_needed": space_needed(
            config, scheduler, concurrency, tried.state_bytes, max(trials, at_most or 0)
        ),
    }


class _Tried(NamedTuple):
    """A trial that was trained a few steps."""

    trainer: Training
    shapes: str
    metrics: dict[str, float]
    seconds_per_step: float
    seconds_per_validation: float
    data: DataCheck | None
    picture: np.ndarray | None
    doubts: tuple[str, ...]
    state_bytes: int


def _try(config: Config, values: Mapping[str, Any], phase: Callable[[str], None], *, raced: bool) -> _Tried:
    with tempfile.TemporaryDirectory(prefix="tune-search-check-") as folder:
        return _try_in(Path(folder), config, values, phase, raced)


def _try_in(
    folder: Path, config: Config, values: Mapping[str, Any], phase: Callable[[str], None], raced: bool
) -> _Tried:
    try_sampler(config.sampler, config.space, config.sampler_where)
    trainer = build(config, values, phase, folder, unit="steps", count=_NUM_STEPS)
    loaded: tuple[str, ...] = ()
    if isinstance(trainer, Trainer) and trainer.pretrained is not None:
        with data_errors(config.task_path, places=config.places):
            loaded = (trainer.load_pretrained(),)
    phase("training a few steps")
    with data_errors(config.task_path, config.file, config.places):  # read when needed
        with _shapes(trainer.model) as shapes, gradients_seen(trainer.model) as seen:
            measured = _measure(trainer)
        for metric in (each.metric for each in reported(config) if each.metric not in measured[0]):
            known = ", ".join(sorted(measured[0]))
            raise RefusedError(f"objective.metric is {metric!r}; the task reports {known}")
        found, data, picture = (*loaded, *_doubts(config, trainer, seen)), None, None
        if isinstance(trainer, Trainer):
            shared = {data_key(config.task_path, values): dict(trainer.task.arrays)}
            refuse_unshareable(config, shared)
            try_imported(config, shared, phase)
            if raced:
                refuse_other_splits(config, shared, values)
            phase("looking at some samples")
            data, picture = _looked_at(config, trainer.task), trainer.task.data_picture()
    size = state_size(trainer)
    trainer.close()
    return _Tried(trainer, "".join(shapes), *measured, data, picture, found, size)


def _doubts(config: Config, trainer: Training, seen: Collection[str]) -> tuple[str, ...]:
    """Of code that is the user's own, and of times."""
    if isinstance(trainer, FunctionTrainer):
        return tuple(trainer.doubts())
    own = doubts(trainer, seen) if config.task_path not in BUILT_IN.values() else ()
    return (*own, *timed_alone(config))


def _data_notes(config: Config, trainer: Training) -> tuple[str, ...]:
    found = find_data(config, load=False)
    folder = _folder(config.name)
    before = read_data(folder.data)
    changes = compared(before, found.fingerprint) if before is not None else None
    if changes:
        return (f"have changed since {short_path(folder.path)} was last run", *changes.lines())
    if found.not_compared and isinstance(trainer, Trainer) and not trainer.task.arrays:  # these are compared
        return (f"will not be compared when a search continues: {found.not_compared}",)
    return ()


def _folder(name: str) -> RunFolder:
    """Of the run that the configuration would have, or has."""
    return RunFolder(Path("results").absolute() / name)


@contextmanager
def _shapes(model: torch.nn.Module) -> Iterator[list[str]]:
    """The shapes of the first input and output of the model, as text, once it has been called."""
    found: list[str] = []

    def note(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        first = next((value for value in inputs if isinstance(value, torch.Tensor)), None)
        if not found and first is not None and isinstance(output, torch.Tensor):
            found.append(f", {list(first.shape)} -> {list(output.shape)}")

    hook = model.register_forward_hook(note)
    try:
        yield found
    finally:
        hook.remove()


def _batch(trainer: Training, step_samples: int) -> str:
    """Samples of one optimizer step; their factors where there is more than one."""
    if not isinstance(trainer, Trainer):
        known = trainer.virtual_epochs.epoch_samples is not None
        return f"{step_samples} samples a step" if known else "the function's own"
    accumulate, per_step = trainer.accumulate, trainer.task.batches_per_step
    factors = [trainer.batch_size, accumulate, per_step]
    several = [str(factor) for factor in factors if factor > 1]
    return f"{step_samples} samples a step" + (f" ({' x '.join(several)})" if len(several) > 1 else "")


def _looked_at(config: Config, task: Task) -> DataCheck | None:
    """Some samples of each part, where the task knows its samples."""
    found = DataCheck(name=config.name, task=config.task_path)
    inspection = type(task).inspect(task.options)
    if inspection is None:
        if config.task_path not in BUILT_IN.values() or not getattr(task, "class_names", ()):
            return None
        inspection = drawn_inspection(task)
    return inspected(found, inspection, most=NUM_LOOKED_AT)


def _measure(trainer: Training) -> tuple[dict[str, float], float, float]:
    """Metrics after a few steps, seconds per step, and seconds per validation."""
    first = trainer.run_virtual_epoch()  # warm-up: the first steps are slower than later ones
    began = time.perf_counter()
    metrics = trainer.run_virtual_epoch() or first  # a training function may have returned
    if metrics is None:
        raise SearchError("the training function returned without a report")
    both = time.perf_counter() - began
    began = time.perf_counter()
    trainer.validate()
    validation = time.perf_counter() - began
    return metrics, max(0.0, both - validation) / _NUM_STEPS, validation


def _this_machine() -> Host:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Host({"CPU": float(num_cores()), "GPU": float(gpus)})
