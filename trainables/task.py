"""A task: one problem's data, model, loss and metrics. The trainer does everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from trainables.data.batches import Batch, inputs_of, num_samples
from trainables.data.fingerprint import Fingerprint
from trainables.data.source import JoinedSource, as_source
from trainables.inspect.inspection import Inspection
from trainables.optim.optimizers import Layer
from trainables.options import TrialOptions

Arrays = dict[str, np.ndarray]

Watch = Callable[[str, Tensor, Tensor], None]
"""Takes a name, a loss and a gradient norm; the trial has diverged if these are not finite."""


class Metrics(Protocol):
    """Accumulates over the validation data on the device; `compute` alone brings numbers to the host.

    In a trial of several processes each one validates a part of the data, and a method `merge(total)` puts
    the parts together: it replaces each tensor that adds up by its sum over all processes, as in
    `self.hits = total(self.hits)`, None where there was no batch here.
    """

    def update(self, outputs: Any, batch: Batch) -> None: ...

    def compute(self) -> dict[str, float]: ...


class Task:
    """Subclass this for your own problem and name it `task: package.module:Class`.

    Required: `train_data`, `valid_data`, `build_model`, `loss`, `metrics`. The rest has defaults.
    """

    Options: ClassVar[type[TrialOptions]] = TrialOptions
    """The pydantic model of the `trial:` section; subclass TrialOptions to check keys of your own."""

    metric_names: ClassVar[tuple[str, ...]] = ()
    """What `metrics` reports, so that an objective with another name is refused before a search; a name that
    ends in / stands for all that begin so. Empty: its names are known after the first validation."""

    free_dimensions: ClassVar[Mapping[int, str]] = {0: "batch"}
    """Dimensions of the model's inputs that may have any size in an exported graph, by name."""

    output_name: ClassVar[str] = "output"
    """What an exported graph calls the model's output, where that is one tensor."""

    input_values: ClassVar[str] = ""
    output_values: ClassVar[str] = ""
    """What the model's input and output are, with units, for whoever uses an exported graph."""

    optional_metrics: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Those of `metric_names` that are reported only where an option is set: section and key of it."""

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        self.options = options
        self.arrays = arrays
        """What `load_data` and `prepare` returned; read-only, shared by all trials of a machine."""

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        """Decode what fits in memory, once per machine. May depend on `options.data` only."""
        return {}

    @classmethod
    def prepare(cls, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> Arrays:
        """Computed arrays shared by all trials of a run, such as a network that scores them.

        Computed once, kept in the run's folder, and exported with the model. May depend only on
        `options.data` and on what `load_data` returned; the names must differ from those there.
        """
        return {}

    @classmethod
    def data_fingerprint(cls, options: TrialOptions) -> Fingerprint | str | None:
        """What the data are made of, so that a search notices when they have changed since it was last run.

        For files, `of_files({"images": paths})` of trainables.data.fingerprint; or any text that changes when
        the data do. With None, what `load_data` returns is compared; data that are read elsewhere are not.
        """
        return None

    @classmethod
    def inspect(cls, options: TrialOptions) -> Inspection | None:
        """The samples of the data for `tune-search check --data`, for files that may be damaged.

        None draws every sample of `train_data` and `valid_data` once.
        """
        return None

    @property
    def skipped_samples(self) -> Mapping[str, str]:
        """Samples left out because they cannot be read: the reason by file."""
        return {}

    @property
    def num_workers(self) -> int:
        """Processes that make training batches ahead of time, unless `train_data` is a DataLoader.

        Each gets a copy of the source, which should hold paths and not data.
        """
        return 0

    @property
    def shuffle_buffer(self) -> int:
        """Samples that are shuffled in memory if `train_data` is an IterableDataset; 0 keeps their order."""
        return 0

    @property
    def valid_batch_size(self) -> int:
        """Samples of one validation batch."""
        return self.options.valid_batch_size

    def train_data(self) -> Any:
        """A BatchSource, a tuple of arrays, a map-style Dataset, an IterableDataset, or any DataLoader.

        For an IterableDataset, batches, workers and shuffling are added (see
        `trainables.data.iterable_stream.IterableStream`). A DataLoader is used as it is.
        """
        raise TypeError(f"{type(self).__name__} does not define train_data()")

    def valid_data(self) -> Any:
        """Data as in `train_data`, but of known length; never augmented, always in the same order."""
        raise TypeError(f"{type(self).__name__} does not define valid_data()")

    def all_data(self) -> Any:
        """Training and validation data together, to train a chosen configuration on all data.

        A task whose `train_data` is a DataLoader has to override it.
        """
        train, valid = self.train_data(), self.valid_data()
        if isinstance(train, DataLoader):
            raise TypeError(
                f"train_data() of {type(self).__name__} is a DataLoader, whose batches are its own; define "
                "all_data() to train on all data"
            )
        return JoinedSource(as_source(train, "train_data()"), as_source(valid, "valid_data()"))

    def build_model(self) -> nn.Module:
        """The model with freshly drawn weights; random states are seeded before the call."""
        raise TypeError(f"{type(self).__name__} does not define build_model()")

    def layers(self, model: nn.Module) -> Sequence[Layer]:
        """The model's layers from input to head, needed by an `optimizer.layer_decay` other than 1.

        A layer is a list of parameters or modules; every trainable parameter is in exactly one layer.
        """
        return ()

    def setup(self, device: torch.device) -> None:
        """Called once, with the model on this device: build what the task trains in `prepare_step`."""

    @property
    def batches_per_step(self) -> int:
        """Batches of `accumulate` micro-batches that one optimizer step draws."""
        return 1

    def prepare_step(
        self, model: nn.Module, batches: list[Batch], *, lr_factor: float, watch: Watch
    ) -> list[Batch]:
        """Called before each optimizer step: train the model's adversary here.

        Args:
            model: in training mode.
            batches: all micro-batches of the step, on the device; at the end of a virtual epoch of whole
                epochs fewer than `accumulate` times `batches_per_step`.
            lr_factor: of `lr_schedule` at this step, for the task's own optimizers.
            watch: to be called with the loss and gradient norm of each step taken here.

        Returns:
            The micro-batches that the model's own step is made of.
        """
        return batches

    def state_dict(self) -> dict[str, Any]:
        """State of what the task itself trains, for checkpoints: tensors, numbers and strings."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Outputs of the model for one batch: of its first part, or of a batch that is a tensor."""
        return model(inputs_of(batch, type(self).__name__))

    def infer(self, model: nn.Module, batch: Batch) -> Any:
        """What the exported model computes for one batch, of which FLOPs and latency are measured."""
        return self.forward(model, batch)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Mean loss over the batch: a scalar, or [num_terms] with one mean per term of a mixture.

        Each entry must be a mean weighted by `loss_weight`, so that accumulated micro-batches add up to
        exactly the loss of the large batch.
        """
        raise TypeError(f"{type(self).__name__} does not define loss()")

    def loss_weight(self, batch: Batch) -> Tensor | float:
        """How much the batch's mean counts: number of samples, or of valid targets. Same shape as `loss`.

        A number if the host knows it, else a tensor on the batch's device, for which the host does not wait.
        """
        return float(num_samples(batch))

    def metrics(self) -> Metrics:
        """A new accumulator for one validation."""
        raise TypeError(f"{type(self).__name__} does not define metrics()")

    def preprocessing(self) -> dict[str, Any]:
        """How raw data become the model's inputs, exported with the model as preprocessing.json.

        JSON values: means, deviations, names of columns and classes; an optional `how` says in words how to
        apply them.
        """
        return {}

    def data_picture(self) -> np.ndarray | None:
        """A sheet of samples as training gets them, which `check` writes: uint8 of shape [H, W, 3]."""
        return None

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """Images for TensorBoard after a validation, by tag: uint8 of shape [H, W, 3]."""
        return {}
