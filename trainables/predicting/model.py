"""A model that predicts as it was validated: device, number format and batches that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.batches import to_device
from trainables.optim.precision import Precision
from trainables.predicting.inference import Inference, RowInputs
from trainables.supervised.outputs import as_output

_ALLOCATION = ("can't allocate memory", "not enough memory")
"""Of the RuntimeError that torch raises where a CPU has no memory left."""


class MemoryLimitError(ValueError):
    """A single sample does not fit into memory."""


class OutputError(ValueError):
    """The network gave no numbers: of NaN no class is the largest, and no value is infinite."""


@contextmanager
def memory_limits() -> Iterator[None]:
    """Raise MemoryLimitError where NumPy or torch has no memory left, on any device."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        raise MemoryLimitError(f"does not fit into memory ({str(error).partition(chr(10))[0]})") from error


class ExportedModel:
    """The model of an export, in evaluation mode.

    Args:
        inference: what the export says.
        network: with its weights.
        metrics: those of the validation data, as the export has them.
    """

    def __init__(self, inference: Inference, network: nn.Module, metrics: Mapping[str, float]) -> None:
        self.inference = inference
        self.network = network.eval().requires_grad_(False)
        self.metrics = dict(metrics)
        """Of the validation data, by name."""
        self.classes = np.array(inference.classes or (), np.str_)
        """Names of the classes, in the order of their numbers: `model.classes[model.predict(images)]`."""
        self.batch_size = inference.batch_size
        """Samples, or windows of images, that are predicted at once; halved where memory ends."""
        self.to("cpu")

    @property
    def row_inputs(self) -> Sequence[RowInputs]:
        """How rows are encoded: those of an ensemble for each of its members, side by side."""
        return () if self.inference.rows is None else (self.inference.rows,)

    def to(self, device: str | torch.device) -> Self:
        """Move it to a device, such as `cuda`; it predicts there from now on.

        Raises:
            ValueError: there is no such device.
        """
        try:
            self.device = torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            cause = str(error).partition("\n")[0]
            raise ValueError(f"device is {str(device)!r}, which cannot be used here: {cause}") from error
        name = self.inference.precision
        on_cpu = name == "fp16" and self.device.type == "cpu"  # as `export` evaluates what a GPU has trained
        self._precision = Precision("fp32" if on_cpu else name, self.device)
        self.network.to(self.device)
        if self.inference.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def predict(self, samples: Any, /) -> np.ndarray:
        """One result for each sample, see the model of each task."""
        raise TypeError(f"{type(self).__name__} does not define predict()")

    def predict_proba(self, samples: Any, /) -> np.ndarray:
        """The probability of each class; raises TypeError where there are none."""
        raise TypeError(f"this model is of task {self.inference.task}, which has no classes; see predict()")

    def as_inputs(self, images: np.ndarray) -> Tensor:
        """float32 [N, H, W, C] as [N, C, H, W] on the device, in the order in memory of the training."""
        inputs = torch.from_numpy(images).permute(0, 3, 1, 2)
        return to_device(inputs, self.device, self.inference.channels_last)

    def outputs(self, inputs: Tensor, shape: Sequence[int]) -> Tensor:
        """Of the network for inputs [n, ...] on any device: [n, *shape] on its own.

        Raises:
            MemoryLimitError: one sample alone does not fit into memory.
            OutputError: an output is NaN or infinite; a logit may be minus infinity, of what cannot be.
        """
        parts, first = [], 0
        while first < len(inputs):
            part = inputs[first : first + self.batch_size]
            try:
                parts.append(self._forward(part, shape))
                first += len(part)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if len(part) == 1:
                    raise MemoryLimitError(f"does not fit into memory, also alone ({error})") from error
                self.batch_size = len(part) // 2
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        found = parts[0] if len(parts) == 1 else torch.cat(parts)
        self.refuse_no_numbers(found)
        return found

    def refuse_no_numbers(self, found: Tensor) -> None:
        """Raise OutputError if an output is none that can be."""
        is_wrong = ~found.isfinite() if self.inference.classes is None else found.isnan() | found.isposinf()
        if bool(is_wrong.any()):
            raise OutputError(
                "gives outputs that are NaN or infinite: are its values far from those of the training?"
            )

    def _forward(self, inputs: Tensor, shape: Sequence[int]) -> Tensor:
        inputs = inputs.to(self.device)
        with torch.no_grad(), self._precision.autocast():
            return as_output(self.network(inputs), (len(inputs), *shape))


def _is_out_of_memory(error: Exception) -> bool:
    is_told = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return is_told or any(text in str(error) for text in _ALLOCATION)
