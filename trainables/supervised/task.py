"""What segmentation, classification and regression share: one output per sample, of a known shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from trainables.data.source import Batch
from trainables.findings import a_type
from trainables.imported import call, import_path
from trainables.imported_options import ImportedModel
from trainables.optim.optimizers import Layer
from trainables.ranks.merged import Total, check_mergeable
from trainables.supervised.calls import ImportedMetric
from trainables.supervised.options import SupervisedOptions
from trainables.supervised.outputs import as_output
from trainables.task import Metrics, Task


class SupervisedTask(Task):
    """A batch begins with (inputs, targets), and the model's output has the shape `output_shape`."""

    options: SupervisedOptions

    ignore_index: int | None = None
    """Label of targets that do not count."""

    def output_shape(self, batch: Batch) -> tuple[int, ...]:
        """Of the model's output for this batch."""
        raise TypeError(f"{type(self).__name__} does not define output_shape()")

    def built_in_metrics(self) -> Metrics:
        """A new accumulator of the task's own metrics."""
        raise TypeError(f"{type(self).__name__} does not define built_in_metrics()")

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        try:
            outputs = super().forward(model, batch)
        except RuntimeError as error:
            found = re.search(r"to have (\d+) channels, but got (\d+) channels", str(error))
            if found is None or int(found[2]) != batch[0].shape[1]:
                raise
            raise ValueError(
                f"the model takes inputs of {found[1]} channels, and the data have {found[2]}: correct the "
                f"argument that says so, such as model.in_channels: {found[2]} ({error})"
            ) from error
        return as_output(outputs, self.output_shape(batch))

    def layers(self, model: nn.Module) -> Sequence[Layer]:
        """What the model itself names, from input to head."""
        return model.layers() if hasattr(model, "layers") and callable(model.layers) else ()

    def metrics(self) -> Metrics:
        own = self.built_in_metrics()
        return _WithImported(self, own) if self.options.metrics else own

    def in_units_of(self, other: SupervisedTask, outputs: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """Outputs and batch as another task, of the same options but for its data, would have them."""
        return outputs, batch

    def metric_arguments(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Outputs and targets as imported metrics get them."""
        return outputs, batch[1]


def build_imported(options: ImportedModel) -> nn.Module:
    """The model at a path.

    Raises:
        ValueError: it cannot be imported, raises, or is no module of torch.
    """
    if isinstance(found := import_path(options.name), nn.Module):
        raise ValueError(
            f"{options.name} is {a_type(found)} that is made already, and trials would share its "
            "weights; model.name must be a class, or a function that returns a new one"
        )
    model = call(options.name, options.arguments)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{options.name} returned {a_type(model)}; must be a torch.nn.Module")
    return model


class _WithImported:
    """The metrics of a task, and imported ones beside them."""

    def __init__(self, task: SupervisedTask, own: Metrics) -> None:
        self._task, self._own = task, own
        self._imported: Mapping[str, ImportedMetric] = {
            name: ImportedMetric(options, task.ignore_index) for name, options in task.options.metrics.items()
        }

    def update(self, outputs: Any, batch: Batch) -> None:
        self._own.update(outputs, batch)
        arguments = self._task.metric_arguments(outputs, batch)
        for metric in self._imported.values():
            metric.update(*arguments)

    def check_mergeable(self) -> None:
        """Raise unless each of them can be put together.

        Raises:
            TypeError: one cannot.
        """
        check_mergeable(self._own, of="the metrics of the task")
        for metric in self._imported.values():
            metric.check_mergeable()

    def merge(self, total: Total) -> None:
        """Add what other processes of the trial have added up."""
        self._own.merge(total)  # type: ignore[attr-defined]
        for metric in self._imported.values():
            metric.merge(total)

    def compute(self) -> dict[str, float]:
        """All of them.

        Raises:
            ValueError: an imported one has the name of another.
        """
        values = self._own.compute()
        for name, metric in self._imported.items():
            for reported, value in metric.compute(name).items():
                if reported in values:
                    raise ValueError(f"metrics.{name} has the name of a metric of the task; give it another")
                values[reported] = value
        return values
