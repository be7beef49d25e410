"""What a sample is: an image with a mask or with a class. What differs between the two is here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from trainables.findings import Finding, SampleError, sample_error
from trainables.images import kinds
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.decode import (
    Reading,
    header_size,
    read_channels,
    read_header,
    resized,
    size_text,
)
from trainables.images.masks.colours import ColourTable
from trainables.images.masks.reading import labels_text, mask_size, read_mask
from trainables.images.statistics import value_counts
from trainables.images.stored import File

_SHADES = 4
"""Labels that are no classes, beyond which they may be shades where classes meet."""
NO_CLASS = -100
"""Class of an image that is skipped; torch's losses leave it out."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Encoded:
    """A sample as it lies on disk."""

    images: tuple[File, ...]
    """One, or one for each channel."""
    target: File | int
    """A mask, or the number of a class."""
    target_name: str = ""
    """Of a class, for messages."""
    class_masks: tuple[File | None, ...] = ()
    """Of classes that may overlap, where each has a file of its own; None: the sample has none of it."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them that are files on disk."""
        masks = self.class_masks or (self.target,)
        return tuple(file for file in (*self.images, *masks) if isinstance(file, Path))

    @property
    def mask(self) -> File:
        assert not isinstance(self.target, int)
        return self.target


@dataclass
class Looked:
    """What could be read of a sample, and everything that is wrong with it."""

    image: np.ndarray | None = None
    """uint8 [H, W, C]"""
    target: np.ndarray | None = None
    """A mask uint8 [H, W] of classes and `IGNORE`, or a class, int64 without dimensions."""
    labels: Mapping[int, int] = field(default_factory=dict)
    """How often each label is in the mask as it is in the file."""
    problems: list[SampleError] = field(default_factory=list)

    def attempt(self, read: Callable[[], Result]) -> Result | None:
        """What `read` returns; None where it has found a problem."""
        try:
            return read()
        except SampleError as problem:
            self.problems.append(problem)
            return None


@dataclass(frozen=True, kw_only=True)
class Decoder(ABC):
    """Makes an image and a target of an encoded sample."""

    reading: Reading
    num_classes: int

    @property
    @abstractmethod
    def nothing(self) -> np.ndarray:
        """The target of a sample that is skipped."""

    @abstractmethod
    def counts(self, target: np.ndarray) -> Mapping[int, int]:
        """How often each class, and `IGNORE`, is in a target."""

    @property
    def channels(self) -> int:
        return self.reading.channels

    @abstractmethod
    def size(self, sample: Encoded) -> tuple[int, int]:
        """Height and width of the image, without decoding it; may raise a SampleError."""

    @abstractmethod
    def look(self, sample: Encoded) -> Looked:
        """Decode it, collecting errors instead of raising them."""

    def decode(self, sample: Encoded) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H, W, C] and target, see `Looked`.

        Raises:
            SampleError: the first problem of the sample.
        """
        looked = self.look(sample)
        if looked.problems:
            raise looked.problems[0]
        assert looked.image is not None
        assert looked.target is not None
        return looked.image, looked.target


@dataclass(frozen=True, kw_only=True)
class MaskDecoder(Decoder):
    """Images and masks of one size."""

    lookup: np.ndarray
    """From labels in masks to classes and `IGNORE`: int16 [256], -1 is neither."""
    colours: ColourTable | None = None
    """None: masks hold labels, not colours."""

    @property
    def nothing(self) -> np.ndarray:
        return np.empty((0, 0), np.uint8)

    def counts(self, target: np.ndarray) -> Mapping[int, int]:
        return value_counts(target)

    def size(self, sample: Encoded) -> tuple[int, int]:
        return mask_size(sample.mask)

    def look(self, sample: Encoded) -> Looked:
        looked = Looked()
        looked.image = looked.attempt(lambda: read_channels(sample.images, self.reading))
        raw = looked.attempt(lambda: read_mask(sample.mask, self.colours))
        if self.is_halved(sample, looked, raw):
            return looked
        if raw is not None:
            looked.labels = value_counts(raw)
            looked.target = looked.attempt(lambda: self._classes(sample.mask, raw, looked.labels))
        return looked

    def is_halved(self, sample: Encoded, looked: Looked, mask: np.ndarray | None) -> bool:
        """Whether one of the two is missing, which is then the only problem; another size is one more."""
        if any(problem.finding and problem.finding.kind is kinds.NO_FILE for problem in looked.problems):
            looked.problems = [_lost_half(sample, looked.problems)]
            looked.image = looked.target = None
            return True
        if looked.image is not None and mask is not None and looked.image.shape[:2] != mask.shape:
            looked.problems.append(_other_size(sample, looked.image, mask))
        return False

    def class_of(self, label: int) -> int | None:
        """The class of a label in a file, `IGNORE`, or None for a label that is not allowed."""
        mapped = int(self.lookup[label])
        return mapped if mapped == IGNORE or 0 <= mapped < self.num_classes else None

    def _classes(self, file: File, raw: np.ndarray, labels: Mapping[int, int]) -> np.ndarray:
        wrong = {label: count for label, count in labels.items() if self.class_of(label) is None}
        if not wrong:
            return self.lookup.astype(np.uint8)[raw]
        binary = set(labels) == {0, IGNORE} and set(wrong) == {IGNORE}
        ignored = " or ".join(str(label) for label in range(256) if self.lookup[label] == IGNORE)
        advice = "add the class to data.class_names, classes.txt or data.num_classes, or see data.mask_values"
        if list(wrong) == [self.num_classes]:
            advice += " (do the names lack the first class, such as background?)"
        if len(wrong) > _SHADES:
            advice = "if they are shades at edges, save the mask anew with each pixel one of the classes"
        if any(self.lookup[label] < 0 for label in wrong):
            advice = (
                "set data.ignore_index to it if it marks pixels to leave out, or data.mask_values: {255: 1} "
                "if the mask is binary, saved as 0 and 255"
            )
        rule = f"classes are 0 to {self.num_classes - 1}, ignored is {ignored or 'nothing'}"
        kind = kinds.BINARY if binary else kinds.WRONG_LABEL
        raise sample_error(kind, file, f"holds {labels_text(wrong)}; {rule}", advice)


@dataclass(frozen=True, kw_only=True)
class ClassDecoder(Decoder):
    """Images with one class each, all of one size."""

    resize: int | None
    """Side of the middle square that is kept of each image."""
    expected: tuple[int, int] | None = None
    """Height and width that each image must have; None: not known yet, every size is accepted."""
    example: str = "others are"
    """An image that has that size, for messages."""

    @property
    def nothing(self) -> np.ndarray:
        return np.array(NO_CLASS, np.int64)

    def counts(self, target: np.ndarray) -> Mapping[int, int]:
        return {int(target): 1}

    def size(self, sample: Encoded) -> tuple[int, int]:
        return self.expected or header_size(sample.images[0], self.reading.channels_first)

    def look(self, sample: Encoded) -> Looked:
        looked = Looked()
        looked.image = looked.attempt(lambda: self._image(sample))
        looked.target = looked.attempt(lambda: self._class(sample))
        return looked

    def _image(self, sample: Encoded) -> np.ndarray:
        pixels = read_channels(sample.images, self.reading)
        if self.resize is not None:
            pixels = resized(pixels, self.resize)
        if self.expected is not None and self.expected != pixels.shape[:2]:
            height, width = self.expected
            sizes = f"is {size_text(pixels)}, and {self.example} {width}x{height}"
            advice = "all must have one size: set data.resize to a side in pixels"
            raise sample_error(kinds.IMAGE_SIZE, sample.images[0], sizes, advice)
        return pixels

    def _class(self, sample: Encoded) -> np.ndarray:
        number = sample.target
        assert isinstance(number, int)
        if not 0 <= number < self.num_classes:
            message = f"is {number}; with {self.num_classes} classes it must be 0 to {self.num_classes - 1}"
            raise sample_error(kinds.WRONG_CLASS, sample.target_name, message)
        return np.array(number, np.int64)


def _other_size(sample: Encoded, image: np.ndarray, mask: np.ndarray) -> SampleError:
    """The error for a mask of another size than its image, which its EXIF may have turned."""
    sizes = f"is {size_text(mask)}, its image {sample.images[0]} {size_text(image)}"
    is_turned = mask.shape == image.shape[1::-1] and read_header(sample.images[0]).orientation > 4
    if not is_turned:
        return sample_error(kinds.MASK_SIZE, sample.mask, sizes, "sizes must agree")
    why = f"{sizes}, as its EXIF turns it; it is stored as {size_text(mask)}, which the mask fits"
    return sample_error(kinds.TURNED_SIZE, sample.mask, why, "set data.orientation: stored")


def _lost_half(sample: Encoded, problems: list[SampleError]) -> SampleError:
    """The error for a missing file, with a finding that names the other half of the pair."""
    image, mask = Path(str(sample.images[0])), Path(str(sample.target))
    lost = {problem.finding.where: problem for problem in problems if problem.finding}
    if str(mask) not in lost:
        lost[str(image)].finding = Finding(kinds.NO_IMAGE, str(mask), f"no image is called {image.name}")
    elif str(image) not in lost:
        lost[str(mask)].finding = Finding(kinds.NO_MASK, str(image), f"no mask is called {mask.name}")
    return problems[0]
