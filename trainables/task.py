"""A task: one problem's data, model, loss and metrics. Everything else is the trainer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data import Batch, JoinedSource, as_source
from trainables.options import TrialOptions

Arrays = dict[str, np.ndarray]


class Metrics(Protocol):
    """Accumulates over the validation data on the device; the host sees numbers only in `compute`."""

    def update(self, outputs: Any, batch: Batch) -> None: ...

    def compute(self) -> dict[str, float]: ...


class Task:
    """Subclass this for a problem of your own and name it `task: package.module:Class`.

    Needed: `train_data`, `valid_data`, `build_model`, `loss`, `metrics`. The rest has defaults.
    """

    Options: ClassVar[type[TrialOptions]] = TrialOptions
    """The pydantic model of the `trial:` section; subclass TrialOptions to check keys of your own."""

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        self.options = options
        self.arrays = arrays
        """What `load_data` returned; read-only, shared by all trials of a machine."""

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        """Decode what fits in memory, once per machine. May depend on `options.data` only."""
        return {}

    def train_data(self) -> Any:
        """A BatchSource, a tuple of arrays, a map-style Dataset, or any DataLoader, sized or not."""
        raise TypeError(f"{type(self).__name__} does not define train_data()")

    def valid_data(self) -> Any:
        """As `train_data`, but of known length; never augmented, always in the same order."""
        raise TypeError(f"{type(self).__name__} does not define valid_data()")

    def all_data(self) -> Any:
        """Training and validation data together, to train a chosen configuration on all there is.

        Where `train_data` is a DataLoader, a task that wants this overrides it.
        """
        return JoinedSource(as_source(self.train_data()), as_source(self.valid_data()))

    def build_model(self) -> nn.Module:
        """The model with freshly drawn weights; random states are seeded before the call."""
        raise TypeError(f"{type(self).__name__} does not define build_model()")

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """Outputs of the model for one batch."""
        return model(batch[0])

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """Mean loss over the batch: a scalar, or [num_terms] with one mean per term of a mixture.

        Each entry must be a mean weighted as `loss_weight` says, so that accumulated micro-batches add up
        to exactly the loss of the large batch.
        """
        raise TypeError(f"{type(self).__name__} does not define loss()")

    def loss_weight(self, batch: Batch) -> Tensor:
        """How much the batch's mean counts: number of samples, or of valid targets. Same shape as `loss`."""
        return torch.tensor(float(len(batch[0])), device=batch[0].device)

    def metrics(self) -> Metrics:
        """A new accumulator for one validation."""
        raise TypeError(f"{type(self).__name__} does not define metrics()")

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """Pictures for TensorBoard after a validation, by tag: uint8 of shape [H, W, 3]."""
        return {}
