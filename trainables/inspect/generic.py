"""Draws every sample of a task's data once, for tasks that define no inspection of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from trainables.data.handover import iterator_of
from trainables.data.source import Batch, as_source
from trainables.data.workers import next_from
from trainables.findings import Finding, Kind
from trainables.inspect.inspection import IGNORED, Conclusion, Contents, Inspection, SampleName, digest_of

MAX_CLASSES = 255
"""Targets with more distinct integers than this are not taken for classes."""

RAISES = Kind(name="sample raises", severity="error", remedy="correct the data, or what reads it")
NOT_FINITE = Kind(
    name="number not finite", severity="error", remedy="correct or remove the sample: the loss would be NaN"
)
TOO_SHORT = Kind(
    name="stream ends early",
    severity="warning",
    remedy="it has fewer samples than its length says: correct __len__",
)
NO_LENGTH = Kind(
    name="stream not read",
    severity="warning",
    remedy="a loader without a length may never end: check it yourself",
)


class DrawnInspection(Inspection):
    """The training and validation data of a task, without augmentation.

    A BatchSource, arrays, a Dataset and the Dataset of a DataLoader are read sample by sample, a DataLoader
    over an IterableDataset batch by batch. All in the caller's thread: a user's code need not be thread-safe.
    """

    unit = "targets"

    def __init__(self, train_data: Any, valid_data: Any, class_names: Sequence[str] = ()) -> None:
        self.findings: list[Finding] = []
        self.samples: list[SampleName] = []
        self._draws: list[Callable[[], Batch]] = []
        self._ended = False
        self._class_names = [str(name) for name in class_names]
        for part, data in (("train", train_data), ("valid", valid_data)):
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
        batches = iterator_of(loader)
        name = "sample" if loader.batch_size == 1 else "batch"
        self.samples += [SampleName(part, f"{part} {name} {number}") for number in range(length)]
        self._draws += [lambda: next_from(batches)] * length

    def look(self, number: int) -> Contents:
        where = self.samples[number].where
        try:
            batch = self._draws[number]()
        except StopIteration:
            # Training takes a stream as it comes, whatever its length says.
            first_missing = not self._ended
            self._ended = True
            return Contents(findings=[Finding(TOO_SHORT, where, "")] if first_missing else ())
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            return Contents(findings=[Finding(RAISES, where, f"{type(error).__name__}: {first}")])
        found = [
            Finding(NOT_FINITE, where, f"{name} {text}")
            for name, values in _tensors(batch)
            if (text := _not_finite(values))
        ]
        inputs = next((values for _, values in _tensors(batch)), None)
        if inputs is None:
            return Contents(findings=found)
        is_images = inputs.dim() == 4
        return Contents(
            findings=found,
            digests=[digest_of(row) for row in inputs.detach().cpu().numpy()] if inputs.dim() else [],
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
    """Every tensor of a batch with its name; those of a pair are `input` and `target`."""
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
    text = [f"{count} {name}" for count, name in ((num_nan, "NaN"), (num_inf, "infinite")) if count]
    return f"holds {' and '.join(text)} of {values.numel():,} numbers" if text else ""


def _labels(batch: Batch) -> dict[int, int]:
    """Number of occurrences of each integer in the target; negative ones count as ignored."""
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
