"""Images and their targets by number: stacked in memory, one after another in memory, or where they lie."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch.utils.data import get_worker_info

from trainables.data.stream import Order
from trainables.data.threads import in_threads, num_threads
from trainables.findings import ChangedFileError, SampleError
from trainables.images.depth import ValueRange
from trainables.images.hf_datasets import RowReader
from trainables.images.masks.decoder import mask_decoder
from trainables.images.options import (
    ClassOptions,
    ClassShardsOptions,
    FolderData,
    ImageOptions,
    MaskOptions,
    MaskShardsOptions,
    SavedData,
)
from trainables.images.readers import FileReader, Reader
from trainables.images.shards import ShardSamples
from trainables.images.targets import ClassDecoder, Decoder

log = logging.getLogger(__name__)

Change = Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""What becomes of the image and mask at a place of a batch as soon as they are read, such as a crop: then
only as many whole images are in memory as there are threads that read."""

Read = tuple[list[np.ndarray], list[np.ndarray]]
"""Images uint8 [H, W, C], and for each a mask uint8 [H, W] or a class, int64 without dimensions."""


class Skipped:
    """Samples that cannot be read, each counted once.

    In a worker process a copy notes what it finds, and the one in the trial's process counts what all of them
    have noted.

    Args:
        limit: samples that may be skipped; 0 is none.
        reasons: of those that were skipped before, by their image.
    """

    def __init__(self, limit: int, reasons: Mapping[str, str] | None = None) -> None:
        self._limit = limit
        self.reasons = dict(reasons or {})
        """What is wrong with each skipped sample, by its image."""
        self._noted: list[tuple[str, str]] = []

    def add(self, file: str, error: ValueError) -> None:
        """Count the sample with this image.

        Raises:
            ValueError: the same one if none may be skipped, or one that names the limit.
        """
        if file in self.reasons:
            return
        if not self._limit:
            raise error
        if get_worker_info() is not None:
            self.reasons[file] = str(error)
            self._noted.append((file, str(error)))
            return
        number = len(self.reasons) + 1
        if number > self._limit:
            raise ValueError(f"{error}; {number} samples are wrong and data.max_skipped is {self._limit}")
        self.reasons[file] = str(error).removeprefix(f"{file}: ")
        log.warning("%s; skipped, as %d of at most %d", error, number, self._limit)

    def take_noted(self) -> list[tuple[str, str]]:
        """Images of samples that a worker has met since the last call, and what is wrong with each."""
        noted, self._noted = self._noted, []
        return noted


class Samples(ABC):
    """Images with their targets.

    A sample that is skipped keeps its number and has no pixels: H and W are 0. So the order of the others is
    the same whether a file broke before a search, while it ran or before it was resumed.
    """

    shapes: np.ndarray
    """Height and width of each sample: int64 [N, 2]."""
    order: Order | None = None
    """The order of training, if it is not free; then the sizes of samples are not known before."""
    skipped: Skipped = Skipped(0)

    @abstractmethod
    def one(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and target of a sample."""

    def read(self, indices: np.ndarray, change: Change | None = None) -> Read:
        pairs = [self.one(index) for index in indices]
        if change is not None:
            pairs = [change(place, *pair) for place, pair in enumerate(pairs)]
        return [image for image, _ in pairs], [target for _, target in pairs]


class StackedSamples(Samples):
    """Images [N, H, W, C] of one size and their targets."""

    def __init__(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        self.inputs, self.targets = inputs, targets
        self.shapes = np.broadcast_to(np.array(inputs.shape[1:3]), (len(inputs), 2))

    def one(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.inputs[index], self.targets[index]


class FlatSamples(Samples):
    """Images of any size in one array, each from its pixel of `starts` on; masks alike, or classes [N]."""

    def __init__(
        self, images: np.ndarray, targets: np.ndarray, shapes: np.ndarray, starts: np.ndarray, channels: int
    ) -> None:
        self._images, self._targets, self.shapes = images.reshape(-1, channels), targets, shapes
        self._starts = starts

    def one(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        (height, width), start = self.shapes[index], self._starts[index]
        chosen = slice(start, start + height * width)
        image = self._images[chosen].reshape(height, width, self._images.shape[1])
        if self._targets.dtype != np.int64:
            return image, self._targets[chosen].reshape(height, width)
        return image, self._targets[index]


class ReadSamples(Samples):
    """Samples that are read when they are needed, by a few threads.

    Args:
        shapes: of each sample, or of one that stands for all.

    Raises:
        ValueError: from `read`, for a sample that cannot be read, or is of another size than before, unless
            it may be skipped.
    """

    def __init__(
        self,
        reader: Reader,
        decoder: Decoder,
        shapes: np.ndarray,
        skipped: Skipped,
        order: Order | None = None,
    ) -> None:
        self._reader, self._decoder, self.skipped, self.order = reader, decoder, skipped, order
        self.shapes = np.broadcast_to(shapes, (len(reader), 2))

    def read(self, indices: np.ndarray, change: Change | None = None) -> Read:
        def read_place(place: int) -> tuple[np.ndarray, np.ndarray, ValueError | None]:
            error: ValueError | None = None
            try:
                image, target = self.one(int(indices[place]))
            except ChangedFileError:
                raise
            except ValueError as caught:
                (image, target), error = self._nothing, caught
            if change is None:
                return np.asarray(image), target, error
            try:
                return *change(place, image, target), error
            except SampleError as caught:  # of an array, which is read now
                return *change(place, *self._nothing), caught

        outcomes = list(in_threads(read_place, len(indices), min(num_threads(), len(indices))))
        for index, (_, _, error) in zip(indices, outcomes, strict=True):
            if error is not None:
                self.skipped.add(self._reader.name(int(index)), error)
        return [image for image, _, _ in outcomes], [target for _, target, _ in outcomes]

    def one(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and target; without pixels for a sample that was skipped before the search."""
        height, width = self.shapes[index]
        if not height:
            return self._nothing
        image, target = self._decoder.decode(self._reader.encoded(index))
        if self.order is None and image.shape[:2] != (height, width):
            sizes = f"{image.shape[1]}x{image.shape[0]} and was {width}x{height}"
            raise ValueError(f"{self._reader.name(index)}: is now {sizes}; it changed during the run")
        self._reader.refuse_changed(index)
        return image, target

    @property
    def _nothing(self) -> tuple[np.ndarray, np.ndarray]:
        return np.empty((0, 0, self._decoder.channels), np.uint8), self._decoder.nothing


class LoadedImages:
    """What the arrays of `load_images`, or of built-in images, hold: the one place that knows their names.

    Args:
        options: by which they were loaded; None for built-in images, which are always in memory.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], options: ImageOptions | None) -> None:
        self._arrays, self._options = arrays, options
        self.class_names = tuple(str(name) for name in arrays["class_names"])
        self.class_counts: np.ndarray = arrays["class_counts"]
        """Training pixels or images of each class: int64 [K]."""
        self.mean: np.ndarray = arrays["mean"]
        """float32 [C], 1 being the value 255."""
        self.std: np.ndarray = arrays["std"]
        self.value_range: np.ndarray | None = arrays.get("value_range")
        """Values in the files that became 0 and 255: float64 [2], or [2, C] for each channel."""
        self.in_memory = "train_inputs" in arrays
        pairs = zip(arrays.get("skipped_files", ()), arrays.get("skipped_reasons", ()), strict=True)
        before = {str(name): str(reason).removeprefix(f"{name}: ") for name, reason in pairs}
        self.skipped = Skipped(0 if options is None else options.skip_limit, before)
        """The count continues from the samples that were skipped when the arrays were loaded."""

    def described(self, outputs: str) -> dict[str, Any]:
        """How raw images become inputs, for `Task.preprocessing`, and what the outputs mean."""
        scaled, of_range = "", dict[str, Any]()
        if self.value_range is not None:
            alone = self._options is not None and self._options.value_range is None
            bits = " (images of 8 bits stay as they are)" if alone else ""
            scaled = f"values from range[0] to range[1] become 0 to 255, clipped and rounded{bits}; then "
            if self.value_range.ndim == 2:
                scaled = f"of each channel {scaled}"
            of_range = {"range": self.value_range.tolist()}
        return {
            "how": f"{scaled}a pixel of each channel is (value / 255 - mean) / std, images are [N, C, H, W]; "
            + outputs,
            **of_range,
            **({} if self._options is None else {"orientation": self._options.orientation}),
            "channels": len(self.mean),
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "class_names": list(self.class_names),
        }

    @property
    def num_workers(self) -> int:
        """Processes that are worth having: none for images in memory."""
        return 0 if self._options is None or self.in_memory else self._options.workers

    def samples(self, *parts: str) -> Samples:
        """The samples of "train" or "valid"; of shards also of both, one after another."""
        arrays, part = self._arrays, parts[0]
        shapes = arrays.get(f"{part}_shapes")
        if self.in_memory:
            inputs, targets = arrays[f"{part}_inputs"], arrays[f"{part}_targets"]
            if shapes is None:
                return StackedSamples(inputs, targets)
            return FlatSamples(inputs, targets, shapes, arrays[f"{part}_first_pixels"], len(self.mean))
        assert shapes is not None
        if isinstance(self._options, MaskShardsOptions | ClassShardsOptions):
            shards = ShardSamples.of_arrays(arrays, parts, self._options)
            return ReadSamples(shards, self._decoder(shapes), shapes, self.skipped, shards.order)
        return ReadSamples(self._reader(part), self._decoder(shapes), shapes, self.skipped)

    def _reader(self, part: str) -> Reader:
        if isinstance(self._options, FolderData):
            return FileReader.of_arrays(self._arrays, part)
        assert isinstance(self._options, SavedData)
        return RowReader.of_arrays(self._arrays, part, self._options)

    def _decoder(self, shapes: np.ndarray) -> Decoder:
        assert self._options is not None
        found = ValueRange.of_array(self.value_range)
        num_classes, reading = len(self.class_names), self._options.reading(found, len(self.mean))
        if not isinstance(self._options, ClassOptions):
            assert isinstance(self._options, MaskOptions)
            reading = replace(reading, by_window=True)
            return mask_decoder(self._options, reading, self._arrays["mask_lookup"], num_classes)
        height, width = size_of(shapes)
        return ClassDecoder(
            reading=reading,
            num_classes=num_classes,
            resize=self._options.resize,
            expected=(height, width),
        )


def size_of(shapes: np.ndarray) -> tuple[int, int]:
    """Height and width of the first sample that is not skipped."""
    height, width = shapes[shapes.any(axis=1)][0]
    return int(height), int(width)
