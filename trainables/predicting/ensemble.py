"""An ensemble of exported models, each of which reads raw inputs as its own training did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise, repeat
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from trainables.images.bands import Mapped
from trainables.predicting.classifier import Classifier
from trainables.predicting.flips import mean_logits
from trainables.predicting.inference import METRICS, ExportError, RowInputs, read_inference
from trainables.predicting.load import load_model
from trainables.predicting.model import ExportedModel
from trainables.predicting.pixels import as_pixels
from trainables.predicting.regressor import Regressor
from trainables.predicting.segmenter import Segmenter
from trainables.predicting.windows import together

ENSEMBLE = "ensemble.json"
"""Members of an ensemble and how often each counts; the file makes an export one."""
MEMBERS = "members"
"""Folder of the members, each an export of its own."""

_Each = TypeVar("_Each")


def is_ensemble(export: Path) -> bool:
    """Whether a folder is an export of several models."""
    return (export / ENSEMBLE).is_file()


def members_of(export: Path) -> dict[Path, int]:
    """The folder of each member, and how often it counts.

    Raises:
        ExportError: the file is damaged.
    """
    file = export / ENSEMBLE
    try:
        members = json.loads(file.read_text(encoding="utf-8"))["members"]
        found = {export / MEMBERS / str(int(each["member"])): int(each["count"]) for each in members}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{file} is damaged ({type(error).__name__}: {error}): export again") from error
    if not found or min(found.values()) < 1:
        raise ExportError(f"{file} is damaged: it must name members that count once or more; export again")
    return found


def load_ensemble(export: Path) -> ExportedModel:
    """The models of an ensemble as one.

    Raises:
        ExportError: a file of it is missing or damaged, or is of another task or other classes than the rest.
    """
    members, counts = [], []
    for folder, count in members_of(export).items():
        inference = read_inference(folder)
        if inference is None:
            raise ExportError(f"{folder} does not say how it predicts: its own code alone knows")
        members.append(load_model(folder, inference))
        counts.append(count)
    first = members[0].inference
    for folder, member in zip(members_of(export), members, strict=True):
        if member.inference.task != first.task or member.inference.classes != first.classes:
            raise ExportError(f"{folder} has another task, or other classes, than the first: export again")
    if first.task not in ENSEMBLES:
        raise ExportError(f"{export} holds models of task {first.task}, of which there is no mean")
    try:
        metrics = json.loads((export / METRICS).read_text(encoding="utf-8"))["metrics"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{export / METRICS} is damaged ({error}): export again") from error
    return ENSEMBLES[first.task](members, counts, metrics)


def counted(each: Iterable[_Each], counts: Sequence[int]) -> Iterator[_Each]:
    """Each of them as often as it counts."""
    return chain.from_iterable(map(repeat, each, counts))


def mean_of_logits(each: Iterable[Tensor], counts: Sequence[int], *, overlapping: bool) -> Tensor:
    """Logits [..., K, H, W] of the mean probability, see `mean_logits`.

    Args:
        counts: how often each counts.
    """
    logits = counted(each, counts)
    return mean_logits(next(logits), logits, overlapping=overlapping)


class _Ensemble(ExportedModel):
    """What the ensembles of all tasks share.

    Args:
        members: of one task and the same classes; `inference` is that of the first.
        counts: how often each counts.
        metrics: of the ensemble, on the validation data or out of fold.
    """

    def __init__(
        self, members: Sequence[ExportedModel], counts: Sequence[int], metrics: Mapping[str, float]
    ) -> None:
        self.members: Sequence[Any] = members
        self.counts = counts
        self.inference, self.classes, self.device = (
            members[0].inference,
            members[0].classes,
            members[0].device,
        )
        self.metrics = dict(metrics)

    @property
    def batch_size(self) -> int:  # type: ignore[override]
        return min(member.batch_size for member in self.members)

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        for member in self.members:
            member.batch_size = size

    @property
    def row_inputs(self) -> Sequence[RowInputs]:
        return [inputs for member in self.members for inputs in member.row_inputs]

    def to(self, device: str | torch.device) -> Self:
        for member in self.members:
            self.device = member.to(device).device
        return self

    def _averaged(self, each: Iterable[np.ndarray]) -> np.ndarray:
        """float32, of arrays of one shape."""
        return np.average(list(each), axis=0, weights=self.counts).astype(np.float32)

    def _of_rows(self, rows: np.ndarray) -> np.ndarray:
        """The mean for encoded rows of all members side by side."""
        ends = accumulate((inputs.num_encoded for inputs in self.row_inputs), initial=0)
        parts = [np.ascontiguousarray(rows[:, begin:end]) for begin, end in pairwise(ends)]
        return self._averaged(member.of_rows(part) for member, part in zip(self.members, parts, strict=True))


class SegmenterEnsemble(_Ensemble, Segmenter):
    """Probabilities are means over the members, each by its own windows and flips.

    Where members read files in different ways, such as by ranges of values of their own, the pixels of an
    image hold the channels of one way after those of another.
    """

    def __init__(
        self, members: Sequence[ExportedModel], counts: Sequence[int], metrics: Mapping[str, float]
    ) -> None:
        super().__init__(members, counts, metrics)
        self.overlapping, self.windows = self.members[0].overlapping, self.members[0].windows
        ways = list(dict.fromkeys(member.inputs.reading for member in self.members))
        self._ways = {way: next(m for m in self.members if m.inputs.reading == way) for way in ways}
        bounds = pairwise(accumulate((way.channels for way in ways), initial=0))
        self._channels = dict(zip(ways, bounds, strict=True))

    def set_windows(self, *, window: int | None = None, flips: str | None = None) -> None:
        for member in self.members:
            member.set_windows(window=window, flips=flips)
        self.windows = self.members[0].windows

    def fits_a_window(self, height: int, width: int) -> bool:
        return all(member.fits_a_window(height, width) for member in self.members)

    def read(self, file: Path) -> np.ndarray | Mapped:
        read = [member.read(file) for member in self._ways.values()]
        return read[0] if len(read) == 1 else np.concatenate([np.asarray(each) for each in read], axis=-1)

    def whole(self, pixels: np.ndarray) -> Tensor:
        each = (member.whole(self._own(member, pixels)) for member in self.members)
        return mean_of_logits(each, self.counts, overlapping=self.overlapping)

    def strips(self, image: np.ndarray | Mapped) -> Iterator[Tensor]:
        for each in together([member.strips(self._own(member, image)) for member in self.members]):
            yield mean_of_logits(each, self.counts, overlapping=self.overlapping)

    def _pixels(self, images: Any) -> tuple[np.ndarray, bool]:
        found = [as_pixels(images, member.inputs) for member in self._ways.values()]
        if len(found) == 1:
            return found[0]
        return np.concatenate([pixels for pixels, _ in found], axis=-1), found[0][1]

    def _own(self, member: Segmenter, pixels: Any) -> Any:
        """The channels that a member reads."""
        if len(self._ways) == 1:
            return pixels
        return pixels[..., slice(*self._channels[member.inputs.reading])]


class ClassifierEnsemble(_Ensemble, Classifier):
    """Probabilities are means over the members."""

    def predict_proba(self, samples: Any) -> np.ndarray:
        return self._averaged(member.predict_proba(samples) for member in self.members)

    def read(self, file: Path) -> Any:
        """What each member reads."""
        return tuple(member.read(file) for member in self.members)

    def of_images(self, images: Sequence[Any]) -> np.ndarray:
        columns = zip(*images, strict=True)
        return self._averaged(
            member.of_images(column) for member, column in zip(self.members, columns, strict=True)
        )

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        return self._of_rows(rows)


class RegressorEnsemble(_Ensemble, Regressor):
    """Values are means over the members, in the target's own units."""

    def predict(self, rows: Any) -> np.ndarray:
        return self._averaged(member.predict(rows) for member in self.members)

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        return self._of_rows(rows)


ENSEMBLES: Mapping[str, type[_Ensemble]] = {
    "segmentation": SegmenterEnsemble,
    "classification": ClassifierEnsemble,
    "regression": RegressorEnsemble,
}
"""By task; the others have no outputs of which a mean says anything."""
