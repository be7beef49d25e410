"""Losses and metrics that somebody else wrote: called with outputs and targets, and their results checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.findings import a_type
from trainables.imported import bind, takes
from trainables.imported_options import ImportedCall
from trainables.ranks.merged import Total, check_mergeable


class _Callee:
    """An imported callable of outputs and targets.

    Args:
        options: path, arguments and the form of targets.
        ignore_index: label of targets that do not count; given to a callable which has an argument of this
            name. None where every target counts.
    """

    def __init__(self, options: ImportedCall, ignore_index: int | None) -> None:
        self.name, self._form, self._ignore = options.name, options.targets, ignore_index
        self._arguments = dict(options.arguments)
        self._ignores = ignore_index is not None and takes(self.name, "ignore_index")
        if self._ignores:
            self._arguments.setdefault("ignore_index", ignore_index)
        self.callee = bind(self.name, self._arguments)

    def on(self, device: torch.device) -> None:
        """Move what has buffers, such as class weights."""
        if hasattr(self.callee, "to"):
            self.callee = self.callee.to(device)

    def targets(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The targets in the form that is asked for.

        Raises:
            ValueError: some do not count, and the callable does not know that.
        """
        if self._ignore is not None and not self._ignores:
            ignored = int((targets == self._ignore).sum())
            if ignored:
                raise ValueError(
                    f"{self.name} has no argument ignore_index, and {ignored} of {targets.numel()} targets "
                    f"of this batch are {self._ignore}, which must not count; give it that argument (it gets "
                    f"{self._ignore}), or call it from a function of yours that leaves these out"
                )
        if self._form == "labels" or targets.shape == outputs.shape:
            return targets
        channel = targets.unsqueeze(1)
        if self._form == "channel":
            return channel
        counted = channel != (self._ignore if self._ignore is not None else -1)
        one_hot = torch.zeros(outputs.shape, dtype=outputs.dtype, device=outputs.device)
        return one_hot.scatter_(1, channel.where(counted, 0), counted.to(outputs.dtype))

    def call(self, function: Any, outputs: Tensor, targets: Tensor) -> Any:
        """What `function` of the callee returns.

        Raises:
            ValueError: it raised, with the shapes, and the other forms that targets may have.
        """
        given = self.targets(outputs, targets)
        try:
            return function(outputs, given)
        except Exception as error:
            shapes = f"outputs {_shown(outputs)} and targets {_shown(given)}"
            forms = f"targets: channel gives it [N, 1, …], and targets: one_hot {_shown(outputs)}"
            hint = f"; {forms}" if not targets.is_floating_point() else ""
            raise ValueError(
                f"{self.name} of {shapes} raised {type(error).__name__}: {error}{hint}"
            ) from error


class ImportedLoss(_Callee):
    """A loss: the mean over the samples of a batch, a scalar."""

    _is_new = True

    def mean(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of outputs [N, ...] in float32.

        Raises:
            ValueError: it raised, or did not return one number.
        """
        self.on(outputs.device)
        if self._is_new:
            with warnings.catch_warnings():
                # torch's losses only warn of shapes from which broadcasting makes a wrong result.
                warnings.filterwarnings("error", "Using a target size")
                loss = self.call(self.callee, outputs.float(), targets)
            self._is_new = False
        else:
            loss = self.call(self.callee, outputs.float(), targets)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            received = _shown(loss) if isinstance(loss, Tensor) else a_type(loss)
            raise ValueError(f"{self.name} returned {received}; must be one number, the mean over the batch")
        return loss.reshape(())


class ImportedMetric(_Callee):
    """A metric over all validation data.

    An object with `update(outputs, targets)` and `compute()`, such as torchmetrics', accumulates itself; of
    anything else that is called the mean over the samples is taken.
    """

    def __init__(self, options: ImportedCall, ignore_index: int | None) -> None:
        super().__init__(options, ignore_index)
        self._accumulates = hasattr(self.callee, "update") and hasattr(self.callee, "compute")
        self._sum, self._number = 0.0, 0

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch."""
        if self._accumulates:
            self.on(outputs.device)
            self.call(self.callee.update, outputs.float(), targets)
            return
        value = self.call(self.callee, outputs.float(), targets)
        self._sum += _number(self.name, value) * len(targets)
        self._number += len(targets)

    def check_mergeable(self) -> None:
        """Raise unless parts of it can be put together; metrics of torchmetrics do so by themselves.

        Raises:
            TypeError: an object that accumulates by itself cannot.
        """
        if self._accumulates and not hasattr(self.callee, "dist_sync_on_step"):
            check_mergeable(self.callee, of=self.name)

    def merge(self, total: Total) -> None:
        """Add what other processes of the trial have added up."""
        if not self._accumulates:
            own = torch.tensor([self._sum, self._number], dtype=torch.float64)
            self._sum, self._number = _two(total(own))
        elif hasattr(self.callee, "merge"):
            self.callee.merge(total)

    def compute(self, reported_as: str) -> dict[str, float]:
        """The value by name; of a metric with several values `name/key` for each."""
        if not self._accumulates:
            return {reported_as: self._sum / self._number if self._number else float("nan")}
        value = self.callee.compute()
        if isinstance(value, Mapping):
            return {f"{reported_as}/{key}": _number(self.name, item) for key, item in value.items()}
        if isinstance(value, Tensor) and value.numel() > 1:
            return {f"{reported_as}/{i}": number for i, number in enumerate(value.flatten().tolist())}
        return {reported_as: _number(self.name, value)}


def _two(values: Tensor | None) -> tuple[float, int]:
    assert values is not None
    return float(values[0]), int(values[1])


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        received = _shown(value) if isinstance(value, Tensor) else a_type(value)
        raise ValueError(f"{name} returned {received}; must be one number") from error


def _shown(tensor: Tensor) -> str:
    return "[" + ", ".join(map(str, tensor.shape)) + "]"
