"""Draws every sample of a task's data once, for tasks that do not say what their files are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from trainables.data.source import Batch, as_source
from trainables.findings import Finding, Kind
from trainables.inspect.inspection import IGNORED, Conclusion, Contents, Inspection, SampleName

MAX_CLASSES = 255
"""Targets with more different whole numbers than these are taken for something else than classes."""

RAISES = Kind(name="sample raises", severity="error", remedy="correct the data, or what reads it")
NOT_FINITE = Kind(
    name="number not finite", severity="error", remedy="correct or remove the sample: the loss would be NaN"
)
TOO_SHORT = Kind(
    name="stream ends early", severity="warning", remedy="its length says more than it gives: correct __len__"
)
NO_LENGTH = Kind(
    name="stream not read",
    severity="warning",
    remedy="a loader without a length may never end: check it yourself",
)


class HasData(Protocol):
    """What of a task is looked at."""

    def train_data(self) -> Any: ...

    def valid_data(self) -> Any: ...


class DrawnInspection(Inspection):
    """What `train_data` and `valid_data` give, without augmentation.

    A BatchSource, arrays, a Dataset and the Dataset of a DataLoader are asked sample by sample, a DataLoader
    over an IterableDataset batch by batch. All of it happens in the caller's thread: what a user has written
    need not stand more.
    """

    unit = "targets"

    def __init__(self, task: HasData) -> None:
        self.findings: list[Finding] = []
        self.samples: list[SampleName] = []
        self._draws: list[Callable[[], Batch]] = []
        self._ended = False
        self._class_names = [str(name) for name in getattr(task, "class_names", ())]
        for part, data in (("train", task.train_data()), ("valid", task.valid_data())):
            self._add(part, data)

    def _add(self, part: str, data: Any) -> None:
        stream = data.dataset if isinstance(data, DataLoader) else data
        if isinstance(stream, IterableDataset):
            self._add_stream(part, data if isinstance(data, DataLoader) else DataLoader(stream, batch_size=1))
            return
        if isinstance(data, DataLoader):
            dataset, collate = data.dataset, data.collate_fn
            draws = [lambda index=index: collate([dataset[index]]) for index in range(len(dataset))]  # type: ignore[arg-type, misc]
        else:
            source = as_source(data)
            draws = [
                lambda index=index: source.batch(np.array([index]), None) for index in range(len(source))
            ]
        self.samples += [SampleName(part, f"{part} sample {number}") for number in range(len(draws))]
        self._draws += draws

    def _add_stream(self, part: str, loader: DataLoader) -> None:
        try:
            length = len(loader)
        except TypeError:
            self.findings.append(Finding(NO_LENGTH, f"{part} data", type(loader.dataset).__name__))
            return
        batches = iter(loader)
        name = "sample" if loader.batch_size == 1 else "batch"
        self.samples += [SampleName(part, f"{part} {name} {number}") for number in range(length)]
        self._draws += [lambda: next(batches)] * length

    def look(self, number: int) -> Contents:
        where = self.samples[number].where
        try:
            batch = self._draws[number]()
        except StopIteration:
            # The length of a stream is only a claim; training takes it as it comes.
            first_missing = not self._ended
            self._ended = True
            return Contents(findings=[Finding(TOO_SHORT, where, "")] if first_missing else ())
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            return Contents(findings=[Finding(RAISES, where, f"{type(error).__name__}: {first}")])
        found = [
            Finding(NOT_FINITE, where, f"{name} {told}")
            for name, values in _tensors(batch)
            if (told := _not_finite(values))
        ]
        inputs = next((values for _, values in _tensors(batch)), None)
        if inputs is None:
            return Contents(findings=found)
        is_images = inputs.dim() == 4
        return Contents(
            findings=found,
            digests=[_digest(row) for row in inputs] if inputs.dim() else [],
            size=(inputs.shape[3], inputs.shape[2]) if is_images else None,
            labels=_labels(batch),
            sums=_sums(inputs) if is_images and not found else None,
        )

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        held = {label for of_sample in contents for label in of_sample.labels} - {IGNORED}
        if self._class_names or len(held) > MAX_CLASSES:
            return Conclusion(class_names=self._class_names)
        return super().conclude(contents)


def _tensors(batch: Batch, name: str = "batch") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a batch with its place in it; those of a pair are `input` and `target`."""
    if isinstance(batch, Tensor):
        yield name, batch
    elif isinstance(batch, Mapping):
        for key, value in batch.items():
            yield from _tensors(value, str(key))
    elif isinstance(batch, list | tuple):
        names = ["input", "target"] if len(batch) == 2 else [f"part {n}" for n in range(len(batch))]
        for part, value in zip(names, batch, strict=True):
            yield from _tensors(value, part)


def _not_finite(values: Tensor) -> str:
    if not (values.is_floating_point() or values.is_complex()):
        return ""
    num_nan, num_inf = int(values.isnan().sum()), int(values.isinf().sum())
    told = [f"{count} {name}" for count, name in ((num_nan, "NaN"), (num_inf, "infinite")) if count]
    return f"holds {' and '.join(told)} of {values.numel():,} numbers" if told else ""


def _digest(row: Tensor) -> bytes:
    values = np.ascontiguousarray(row.detach().cpu().numpy())
    return hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + values.tobytes()).digest()


def _labels(batch: Batch) -> dict[int, int]:
    """How often each whole number is in the target; negative ones count as ignored."""
    target = batch[1] if isinstance(batch, list | tuple) and len(batch) == 2 else None
    if not isinstance(target, Tensor) or target.is_floating_point() or target.is_complex():
        return {}
    labels: dict[int, int] = {}
    for label, count in zip(*np.unique(target.cpu().numpy(), return_counts=True), strict=True):
        name = int(label) if label >= 0 else IGNORED
        labels[name] = labels.get(name, 0) + int(count)
    return labels


def _sums(images: Tensor) -> np.ndarray:
    """Number, sum and sum of squares by channel of images [N, C, H, W]: float64 [3, C]."""
    values = images.detach().cpu().double().transpose(0, 1).flatten(1).numpy()
    return np.stack([np.full(len(values), values.shape[1], np.float64), values.sum(1), (values**2).sum(1)])
