"""The training loop, counted in optimizer steps: a model, data and an optimizer, and no configuration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.batches import Batch, to_device
from trainables.data.source import BatchSource
from trainables.data.stream import TrainingStream
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.optim.ema import WeightAverage
from trainables.optim.lr_schedules import set_lr
from trainables.optim.parts import Freezing
from trainables.optim.precision import Precision
from trainables.process.process_state import RandomStates
from trainables.ranks.group import Ranks
from trainables.training.progress import Progress
from trainables.training.step import Shared, backward
from trainables.training.validation import Validation

if TYPE_CHECKING:
    from trainables.task import Task


@dataclass
class Counters:
    """All counters over the whole trial; saved in every checkpoint."""

    num_virtual_epochs: int = 0
    num_steps: int = 0
    seconds: float = 0.0


@dataclass(kw_only=True, eq=False)
class Trainer:
    """Trains one model in virtual epochs.

    The whole of it, as `run_virtual_epoch` does it::

        while num_steps < end of this virtual epoch:
            draw the micro-batches of one step
            let the task take steps of its own with them (a GAN's discriminator)
            forward and backward each, weighted by its share of the valid targets
            measure (and clip) the gradient norm, set the learning rate, step the optimizer
        validate on all validation data

    Losses and metrics stay on the device until the virtual epoch ends.

    Raises:
        ValueError: there is no validation data.
    """

    task: Task
    model: nn.Module
    """On `device` already."""
    stream: TrainingStream
    """Endless training batches."""
    valid_source: BatchSource
    """Validation data, read in order in batches of `valid_batch_size`."""
    optimizer: torch.optim.Optimizer
    """Its groups carry `initial_lr`."""
    schedule: Callable[[int], float]
    """Factor of the learning rate for an optimizer step (from 0)."""
    virtual_epochs: VirtualEpochs
    device: torch.device
    precision: Precision
    accumulate: int = 1
    """Micro-batches of one step."""
    clip_norm: float | None = None
    """Largest norm of the gradient."""
    average: WeightAverage | None = None
    """Moving average of the weights, which is then validated."""
    valid_batch_size: int = 32
    channels_last: bool = False
    freezing: Freezing | None = None
    """What is not trained."""
    pretrained: Callable[[nn.Module], str] | None = None
    """Loads weights into the model, and says what fitted."""
    ranks: Ranks | None = None
    """The processes that train this model together; None where this one does so alone."""
    counters: Counters = field(default_factory=Counters, init=False)

    def __post_init__(self) -> None:
        self._shared = None if self.ranks is None else Shared(self.ranks, self.model)
        if len(self.valid_source) == 0:
            raise ValueError(f"the validation data ({type(self.valid_source).__name__}) is empty")

    @property
    def evaluated_model(self) -> nn.Module:
        """The model that is validated and exported: the averaged one if configured."""
        return self.model if self.average is None else self.average.model

    @property
    def batch_size(self) -> int:
        """Samples of a micro-batch."""
        return self.virtual_epochs.step_samples // (self.accumulate * self.task.batches_per_step)

    @property
    def num_samples(self) -> int:
        """Training samples drawn so far."""
        return self.virtual_epochs.samples_at(self.counters.num_virtual_epochs)

    def run_virtual_epoch(self) -> dict[str, float]:
        """Train for one virtual epoch and validate; returns the metrics.

        Raises:
            DivergedError: the loss or the gradient was not finite at some step.
        """
        began = time.perf_counter()
        counters = self.counters
        end_step = self.virtual_epochs.end_step(counters.num_virtual_epochs + 1)
        progress = Progress(self.device)
        self._set_training()
        if self.ranks is not None:
            self.ranks.seed(self.task.options.seed, counters.num_virtual_epochs)
        while counters.num_steps < end_step:
            self._train_step(progress)
            counters.num_steps += 1
        progress.raise_if_diverged()
        trained = time.perf_counter() - began
        samples_before = self.num_samples
        counters.num_virtual_epochs += 1
        metrics = {
            "train_loss": progress.mean_loss(),
            "lr": float(self.optimizer.param_groups[0]["lr"]),
            "samples_per_second": (self.num_samples - samples_before) / trained,
            "epoch": self.stream.epochs,
            **self.validate(),
        }
        counters.seconds += time.perf_counter() - began
        return metrics

    def take_steps(self, num_steps: int) -> None:
        """Train some steps without validation, and without counting them.

        Raises:
            DivergedError: as `run_virtual_epoch`.
        """
        progress = Progress(self.device)
        self._set_training()
        for _ in range(num_steps):
            self._train_step(progress)
        progress.raise_if_diverged()

    def load_pretrained(self) -> str:
        """Begin from pretrained weights, if there are any; returns a line of what fitted, or nothing.

        Not needed before `load`, which replaces all weights.
        """
        if self.pretrained is None:
            return ""
        fitted = self.pretrained(self.model)
        self.restart_average()
        return fitted

    def validate(self, model: nn.Module | None = None) -> dict[str, float]:
        """The task's metrics and `valid_loss` over all validation data.

        Args:
            model: another than `evaluated_model`, such as one that another runtime computes.
        """
        model, found = model or self.evaluated_model, Validation(self.task, self.device)
        first, step = 0, self.valid_batch_size
        if self.ranks is not None:
            found.check_mergeable()
            self.ranks.from_rank_0(self._buffers())
            # Whole batches, each as one process would have it.
            first, step = self.ranks.rank * step, self.ranks.size * step
        with self.validating(model):
            for start in range(first, len(self.valid_source), step):
                found.add(*self.outputs(start, model))
        if self.ranks is not None:
            found.merge(self.ranks)
        return found.compute()

    @contextmanager
    def validating(self, model: nn.Module) -> Iterator[None]:
        """The model in evaluation mode, in the number format of the training."""
        model.eval()
        with torch.inference_mode(), self.precision.autocast():
            yield

    def outputs(self, start: int, model: nn.Module, size: int | None = None) -> tuple[Any, Batch]:
        """What the model gives for a batch of the validation data, within `validating`, and that batch."""
        batch = self.valid_batch(start, size)
        return self.task.forward(model, batch), batch

    def valid_batch(self, start: int, size: int | None = None) -> Batch:
        """A batch of the validation data, on the device.

        Args:
            start: its first sample.
            size: of the batch (default: `valid_batch_size`); the last one has what is left.
        """
        stop = min(start + (size or self.valid_batch_size), len(self.valid_source))
        batch = self.valid_source.batch(np.arange(start, stop), None)
        return to_device(batch, self.device, self.channels_last)

    def try_validation(self) -> None:
        """Validate one batch and forget the result: what a validation needs at a time is there."""
        found = Validation(self.task, self.device)
        with self.validating(self.evaluated_model):
            found.add(*self.outputs(0, self.evaluated_model))
            found.compute()

    @property
    def precision_name(self) -> str:
        return self.precision.name

    @property
    def skipped_samples(self) -> Mapping[str, str]:
        """Samples left out because they cannot be read: the reason by file."""
        return self.task.skipped_samples

    def preprocessing(self) -> dict[str, Any]:
        """How raw data become the model's inputs, see `Task.preprocessing`."""
        return self.task.preprocessing()

    def take_images(self) -> dict[str, np.ndarray]:
        """Images for TensorBoard after a validation, by tag."""
        return self.task.images(self.evaluated_model, self.device)

    def take_texts(self) -> dict[str, str]:
        """None: a task has images."""
        return {}

    def close(self) -> None:
        """End processes that read data."""
        self.stream.close()

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of the trained model, not averaged."""
        return self.model.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """All state besides the weights; tensors, numbers and strings only."""
        states = {name: part.state_dict() for name, part in self._parts().items()}
        return {**states, "counters": vars(self.counters).copy()}

    def load(self, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue exactly where the state was taken.

        Raises:
            ValueError: the state holds other parts than this trainer declares.
        """
        parts = self._parts()
        declared = {*parts, "counters"}
        if declared != set(state):
            raise ValueError(
                f"saved state lacks {sorted(declared - set(state))} and has {sorted(set(state) - declared)} "
                "that this trainer does not know"
            )
        self.model.load_state_dict(dict(weights))
        self.counters = Counters(**state["counters"])
        for name, part in parts.items():
            # A scaler saved where none was needed has no state: this one starts fresh.
            if name != "scaler" or state[name]:
                part.load_state_dict(state[name])

    def take_over(self, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Continue where another trial's state was taken, with the values of this one.

        Weights, their average, the optimizer's moments, the position in the data and the random states are
        the other's; learning rate, weight decay and all else that an optimizer's groups hold are this one's.

        Raises:
            ValueError: as `load`.
        """
        own = [{key: group[key] for key in group if key != "params"} for group in self.optimizer.param_groups]
        self.load(weights, state)
        for group, settings in zip(self.optimizer.param_groups, own, strict=True):
            group.update(settings)

    def load_weights(self, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Only the weights of what `load` takes, and their moving average."""
        self.model.load_state_dict(dict(weights))
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def restart_average(self) -> None:
        """Restart the moving average from the model's present weights."""
        if self.average is not None:
            self.average.restart(self.model)

    def _parts(self) -> dict[str, Any]:
        """Everything with state, by its name in a checkpoint; random states are restored last."""
        parts: dict[str, Any] = {"optimizer": self.optimizer, "scaler": self.precision.scaler}
        if self.average is not None:
            parts["average"] = self.average
        if self.task.state_dict():
            parts["task"] = self.task
        return parts | {"stream": self.stream, "random": RandomStates()}

    def _buffers(self) -> Iterator[Tensor]:
        """What a step changes without a gradient, such as the running statistics of normalizations."""
        yield from self.model.buffers()
        if self.average is not None:
            yield from self.average.model.buffers()

    def _set_training(self) -> None:
        self.model.train()
        if self.freezing is not None:
            self.freezing.apply(self.counters.num_steps, again=True)

    def _train_step(self, progress: Progress) -> None:
        step, lr_factor = self.counters.num_steps, self.schedule(self.counters.num_steps)
        if self.freezing is not None:
            self.freezing.apply(step)
        drawn = self.stream.next_step(self.accumulate * self.task.batches_per_step)
        batches = [to_device(batch, self.device, self.channels_last) for batch in drawn]
        watch = partial(progress.watch, step)
        batches = self.task.prepare_step(self.model, batches, lr_factor=lr_factor, watch=watch)
        sizes = () if self.ranks is None else self.virtual_epochs.micro_batch_sizes(step, self.batch_size)
        step_loss = backward(self.task, self.model, batches, self.precision, self._shared, sizes)
        set_lr(self.optimizer, lr_factor)
        grad_norm = self.precision.step(self.optimizer, self.clip_norm)
        # The last step of an epoch may have fewer samples, each of which counts like any other.
        weight = self.virtual_epochs.step_size(step) / self.virtual_epochs.step_samples
        progress.add(step, step_loss, grad_norm, weight)
        if self.average is not None:
            self.average.update(self.model)
