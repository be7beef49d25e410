"""What a training function is given: the trial's values, its length, and where to report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from trainables.data.loader_stream import LoaderStream, loader_samples
from trainables.data.source import Batch
from trainables.data.virtual_epoch import Unit, VirtualEpochs
from trainables.findings import a_type
from trainables.function.state import PlainState, Tracked
from trainables.function.values import Values
from trainables.training.reported import OF_A_REPORT

STREAM = "batches"


class Host(Protocol):
    """Who runs the function: a search, or `search.alone`."""

    def ready(self) -> None:
        """The function is about to train; it goes on when this returns, with its random states restored."""

    def report(self, metrics: dict[str, float]) -> None:
        """A virtual epoch has ended; does not return if the trial is paused or stopped."""

    def check(self) -> None:
        """Called at each step; does not return if the trial is to end."""

    def restore(self, name: str) -> None:
        """A part is tracked: give it its saved state, if there is one."""


class Trial:
    """One trial of a search, or one training alone.

    The values of the configuration's `trial:` section are items and attributes: `trial["lr"]`, `trial.lr`.

    Args:
        values: resolved.
        number: of the trial in its search.
        seed: seeds everything before the function is called.
        device: where to train.
        folder: the trial's own, for files of yours.
        unit, count: length of a virtual epoch.
        num_virtual_epochs: full length of the trial.
        done: virtual epochs that a checkpoint holds.
        host: who runs it.
    """

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        number: int,
        seed: int,
        device: torch.device,
        folder: Path,
        unit: Unit,
        count: int,
        num_virtual_epochs: int,
        done: int,
        host: Host,
    ) -> None:
        self.values = Values(dict(values))
        self.number, self.seed, self.device, self.folder = number, seed, device, folder
        self.num_virtual_epochs, self.done = num_virtual_epochs, done
        """Full length, and how many have been reported."""
        self.state = PlainState()
        """Plain values of yours that are saved with the trial, such as the last loss."""
        self.tracked = Tracked()
        self.loads = False
        """Whether the place in the data is saved: of `batches`, or by a framework."""
        self.notes: list[str] = []
        """For `tune-search check`: what a framework does otherwise in a trial that continues."""
        self._evaluate: Callable[[], Mapping[str, Any]] | None = None
        self.images: dict[str, np.ndarray] = {}
        self.texts: dict[str, str] = {}
        """By tag, as the images: to be written with the next report."""
        self._unit, self._count, self._host = unit, count, host
        self._stream: LoaderStream | None = None
        self._lengths: VirtualEpochs | None = None
        self._drawn = 0
        """Steps of the present virtual epoch so far."""
        if unit == "steps":
            self._lengths = VirtualEpochs(unit=unit, count=count, step_samples=1, epoch_samples=None)
        self.tracked.add("state", self.state)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "values":
            raise AttributeError(name)
        return getattr(self.values, name)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of this name, or `default` where the configuration has none."""
        return self.values.get(name, default)

    @property
    def lengths(self) -> VirtualEpochs:
        """How long virtual epochs are.

        Raises:
            ValueError: they are passes over data that the trial does not know.
        """
        if self._lengths is None:
            raise ValueError(
                f"virtual_epoch is {{{self._unit}: {self._count}}}, and the trial does not know the "
                "batches: draw them from trial.batches(loader), or give virtual_epoch: {steps: N}"
            )
        return self._lengths

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the full length, for learning-rate schedules."""
        return self.lengths.end_step(self.num_virtual_epochs)

    def track(self, **parts: Any) -> None:
        """Save these with the trial, by name: models, optimizers, anything with a state_dict.

        In a trial that continues each gets its saved state here. All modules together are exported.
        """
        for name, part in parts.items():
            self.tracked.add(name, part)
            self._host.restore(name)

    def batches(self, loader: Iterable[Batch], *, per_step: int = 1) -> Iterator[Batch]:
        """Endless batches of a DataLoader, epoch after epoch, which continue where the trial was paused.

        Args:
            loader: see `trainables.data.loader_stream.LoaderStream` for which order is resumed exactly.
            per_step: batches of one optimizer step, where gradients are accumulated.
        """
        self._stream, self.loads = LoaderStream(loader), True
        known = isinstance(loader, torch.utils.data.DataLoader)
        if known and not issubclass(type(loader), torch.utils.data.DataLoader):
            raise ValueError(
                f"trial.batches() received a {type(loader).__name__}, which accelerator.prepare has made: it "
                "reads a batch ahead, whose random numbers a pause would lose; draw from batches_of(trial, "
                "accelerator, loader) of trainables.integrations.accelerate"
            )
        size, epoch_samples = loader_samples(loader) if known else (None, None)  # type: ignore[arg-type]
        if size is not None or self._unit != "steps":
            self._lengths = VirtualEpochs(
                unit=self._unit,
                count=self._count,
                step_samples=(size or 1) * per_step,
                epoch_samples=epoch_samples,
            )
        self.tracked.add(STREAM, self._stream)
        self._host.restore(STREAM)
        return self._endless(self._stream)

    def virtual_epochs(self) -> Iterator[Iterator[int]]:
        """The virtual epochs that are left; each gives the numbers of its optimizer steps, from 0.

        After each, `report` is called once.

        Raises:
            ValueError: it was not.
        """
        self._host.ready()
        while self.done < self.num_virtual_epochs:
            before = self.done
            yield self._steps(self.lengths.end_step(before), self.lengths.end_step(before + 1))
            if self.done == before:
                raise ValueError(
                    f"virtual epoch {before + 1} has ended without trial.report(…); report once after each"
                )

    def steps(self) -> Iterator[int]:
        """All optimizer steps that are left, in one loop; `is_due` says where to report."""
        for steps in self.virtual_epochs():
            for self.step in steps:
                yield self.step

    step: int = -1
    """Number of the present step in `steps`."""

    @property
    def is_due(self) -> bool:
        """Whether a virtual epoch ends with the present step of `steps`."""
        return self.step + 1 == self.lengths.end_step(self.done + 1)

    def evaluated_by(self, evaluate: Callable[[], Mapping[str, Any]]) -> None:
        """Say how metrics are computed, so that an export is evaluated again; `report()` then calls it.

        Raises:
            TypeError: it is no function.
        """
        if not callable(evaluate):
            raise TypeError(
                f"trial.evaluated_by() received {a_type(evaluate)}; must be a function that returns "
                "metrics, as in trial.evaluated_by(lambda: {...}): it is called again for an export"
            )
        self._evaluate = evaluate

    @property
    def evaluates(self) -> bool:
        """Whether the function has said how metrics are computed."""
        return self._evaluate is not None

    def evaluate(self) -> dict[str, Any]:
        """The metrics, as `evaluated_by` was told.

        Raises:
            ValueError: it was not called.
        """
        if self._evaluate is None:
            raise ValueError(
                "trial.evaluate() has nothing to call: give trial.evaluated_by() a function that returns "
                "metrics, before the loop"
            )
        return dict(self._evaluate())

    def report(self, **metrics: Any) -> None:
        """The metrics of the virtual epoch that has ended: numbers, or tensors and arrays of one number.

        Does not return in a trial that is paused or stopped: the function is left from here, `finally` and
        `with` are executed, and a paused trial begins the function again when it continues.

        Raises:
            TypeError: a metric is no number.
            ValueError: there are none, or one has a name that each report has itself.
        """
        self._require_all_steps()
        if not metrics and self.evaluates:
            metrics = self.evaluate()
        if not metrics:
            raise ValueError("trial.report() received no metric; give at least the objective")
        if taken := [name for name in metrics if name in OF_A_REPORT or name.startswith("best/")]:
            raise ValueError(
                f"trial.report() received {', '.join(taken)}, which each report has already; give the metric "
                f"another name, such as my_{taken[0].replace('/', '_')}"
            )
        values = {name: _number(name, value) for name, value in metrics.items()}
        self.done += 1
        self._drawn = 0
        self._host.report(values)

    def _require_all_steps(self) -> None:
        start, end = (self.lengths.end_step(self.done + ahead) for ahead in (0, 1))
        if self._drawn < end - start:
            raise ValueError(
                f"trial.report() was called after {self._drawn} of the {end - start} steps of virtual epoch "
                f"{self.done + 1}: take one optimizer step for each (`for _ in steps:`), or return where the "
                "training is to end"
            )

    def image(self, tag: str, pixels: np.ndarray | Tensor) -> None:
        """Show an image with the next report: [H, W, 3] or [H, W], uint8 or floats from 0 to 1."""
        array = pixels.detach().cpu().numpy() if isinstance(pixels, Tensor) else np.asarray(pixels)
        if array.dtype != np.uint8:
            array = (array.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
        if array.ndim == 2:
            array = np.repeat(array[:, :, None], 3, axis=2)
        if array.ndim != 3 or array.shape[2] != 3:
            raise ValueError(f"image {tag!r} has shape {list(array.shape)}; must be [H, W, 3] or [H, W]")
        self.images[tag] = array

    def text(self, tag: str, content: str) -> None:
        """Show a text, which may be Markdown, with the next report."""
        self.texts[tag] = content

    def close(self) -> None:
        """End the processes that read data."""
        if self._stream is not None:
            self._stream.close()

    def _steps(self, start: int, end: int) -> Iterator[int]:
        for step in range(start, end):
            self._host.check()
            self._drawn += 1
            yield step

    def _endless(self, stream: LoaderStream) -> Iterator[Batch]:
        while True:
            self._host.check()
            yield stream.next_step(1)[0]


def _number(name: str, value: Any) -> float:
    if isinstance(value, str):
        raise TypeError(f"metric {name!r} is the text {value!r}; must be a number")
    try:
        return float(value.detach() if isinstance(value, Tensor) else value)
    except (TypeError, ValueError, RuntimeError) as error:
        shape = list(value.shape) if hasattr(value, "shape") else ""
        raise TypeError(f"metric {name!r} is {a_type(value)} {shape}; must be one number") from error
