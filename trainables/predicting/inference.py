"""What an export says of how it predicts: its network, how raw data become inputs, what outputs are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from trainables.images.decode import Reading
from trainables.images.depth import ValueRange
from trainables.tables.encoded import num_encoded
from trainables.tables.numbers import Notation

WEIGHTS = "model.safetensors"
METRICS = "metrics.json"
INFERENCE = "inference.json"
"""What `Inference` holds; not in exports of before, nor in those of tasks of the user's own."""
VERSION = 1

Labels = Literal["multiclass", "binary", "multilabel"]


class ExportError(ValueError):
    """A folder that no model can be loaded from."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A built-in network by its name, or an imported one by its path."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ImageInputs:
    """How images become inputs."""

    channels: int
    mean: tuple[float, ...]
    """Of each channel, 1 being the value 255."""
    std: tuple[float, ...]
    range: tuple[Any, Any] | None = None
    """Values that become 0 and 255, each one number or one for each channel; None: all images have 8 bits."""
    range_of_all: bool = False
    """Whether images of 8 bits are scaled too."""
    range_found: bool = False
    """Whether it is that of some training images, and was not set."""
    orientation: Literal["exif", "stored"] = "exif"
    channels_first: bool | None = None
    shown: tuple[int, int, int] = (0, 1, 2)
    """Channels that pictures show."""
    resize: int | None = None
    """Side of the middle square that is kept."""
    size: tuple[int, int] | None = None
    """Height and width that each image must have; None: any."""

    @property
    def value_range(self) -> ValueRange | None:
        if self.range is None:
            return None
        low, high = (tuple(each) if isinstance(each, list | tuple) else each for each in self.range)
        return ValueRange(low, high, of_all=self.range_of_all)

    @property
    def reading(self) -> Reading:
        """How files are read; arrays on disk stay there until a part of them is needed."""
        return Reading(
            channels=self.channels,
            value_range=self.value_range,
            is_found=self.range_found,
            upright=self.orientation == "exif",
            channels_first=self.channels_first,
            channels_found=True,
            of_model=True,
            by_window=self.resize is None and self.size is None,
        )


@dataclass(frozen=True, kw_only=True)
class RowInputs:
    """How rows of a table become inputs."""

    columns: Sequence[Mapping[str, Any]]
    """See `Encoding`."""
    decimal: str = "."
    thousands: str = ""
    missing: tuple[str, ...] = ("",)
    """Texts that stand for a missing value."""

    @property
    def notation(self) -> Notation:
        return Notation(self.decimal, self.thousands)

    @property
    def num_encoded(self) -> int:
        """Numbers that the network takes of a row."""
        return num_encoded(self.columns)

    @cached_property
    def missing_numbers(self) -> frozenset[float]:
        """Those of `missing` that are numbers, as -999."""
        return frozenset(
            number for text in self.missing if (number := self.notation.number(text)) is not None
        )


@dataclass(frozen=True, kw_only=True)
class Target:
    """The quantity of a regression: an output is (value - mean) / std."""

    name: str
    mean: float
    std: float


@dataclass(frozen=True, kw_only=True)
class Windows:
    """How whole images are predicted in validation, see `segmentation.options.ValidationOptions`."""

    window: int | None = None
    overlap: float = 0.5
    flips: str = "none"


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What a generator makes images from."""

    latent_size: int
    seed: int
    """Of the noise with which it was measured."""
    num_samples: int
    image: tuple[int, int, int]
    """Shape of one: [C, H, W]."""


@dataclass(frozen=True, kw_only=True)
class Inference:
    """The whole; parts that a task has no use for are None."""

    task: Literal["segmentation", "classification", "regression", "gan"]
    network: Network
    batch_size: int
    """Samples, or windows, that validation predicts at once."""
    precision: str = "auto"
    channels_last: bool = True
    classes: tuple[str, ...] | None = None
    labels: Labels = "multiclass"
    """What masks hold: one class for each pixel, or, of a sigmoid, any."""
    images: ImageInputs | None = None
    rows: RowInputs | None = None
    target: Target | None = None
    windows: Windows | None = None
    noise: Noise | None = None
    colours: tuple[tuple[int, int, int], ...] | None = None
    """Of each class in masks that have colours, see `MaskOptions.colors`."""
    mask_lookup: tuple[int, ...] | None = None
    """From labels in mask files to classes and 255, which is ignored; -1 is neither."""

    def as_json(self) -> dict[str, Any]:
        """JSON values, without the parts that are None."""
        return {
            "version": VERSION,
            **{key: value for key, value in asdict(self).items() if value is not None},
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Self:
        """The reverse.

        Raises:
            ExportError: it was written by a later version of this program, or is damaged.
        """
        if not isinstance(values, Mapping):
            raise ExportError("is damaged: it must hold an object; export again")
        if (version := values.get("version")) != VERSION:
            raise ExportError(
                f"has version {version!r}, and this program reads {VERSION}: update tune-search"
            )
        parts = {
            "network": Network,
            "images": ImageInputs,
            "rows": RowInputs,
            "target": Target,
            "windows": Windows,
            "noise": Noise,
        }
        try:
            given = {name: _tuples(value) for name, value in values.items() if name != "version"}
            for name, part in parts.items():
                if name in given:
                    given[name] = part(**{key: _tuples(value) for key, value in values[name].items()})
            return cls(**given)
        except (TypeError, KeyError, AttributeError) as error:
            known = ", ".join(field.name for field in fields(cls))
            raise ExportError(f"is damaged ({error}); it must hold {known}: export again") from error


def read_inference(export: Path) -> Inference | None:
    """What the export says; None for one that does not.

    Raises:
        ExportError: the file is damaged, or of a later version.
    """
    file = export / INFERENCE
    if not file.is_file():
        return None
    try:
        return Inference.of_json(json.loads(file.read_text(encoding="utf-8")))
    except (ExportError, json.JSONDecodeError, UnicodeError) as error:
        raise ExportError(f"{file}: {error}") from error


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
