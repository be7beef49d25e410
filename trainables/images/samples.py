"""Where images and masks lie: stacked in memory, one after another in memory, or in files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from torch.utils.data import get_worker_info

from trainables.images.hf_datasets import TableReader
from trainables.images.images import num_threads
from trainables.images.readers import FileReader, PairReader, Reading

log = logging.getLogger(__name__)

Change = Callable[[int, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""What becomes of the image and mask at a place of a batch as soon as they are read, such as a crop: then
only as many whole images are in memory as there are threads that read."""


class Samples(Protocol):
    """Pairs of an image, uint8 [H, W, C], and a mask, uint8 [H, W].

    A sample that is skipped keeps its number and has no pixels: H and W are 0. So the order of the others is
    the same whether a file broke before a search, while it ran or before it was resumed.
    """

    @property
    def shapes(self) -> np.ndarray:
        """Height and width of each sample: int64 [N, 2]."""
        ...

    def read(
        self, indices: np.ndarray, change: Change | None = None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]: ...


class StackedSamples:
    """Images [N, H, W, C] and masks [N, H, W] of one size."""

    def __init__(self, images: np.ndarray, masks: np.ndarray) -> None:
        self.images, self.masks = images, masks

    @property
    def shapes(self) -> np.ndarray:
        return np.tile(np.array(self.masks.shape[1:], np.int64), (len(self.masks), 1))

    def read(
        self, indices: np.ndarray, change: Change | None = None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        images, masks = [self.images[index] for index in indices], [self.masks[index] for index in indices]
        return _changed(images, masks, change)


class FlatSamples:
    """Images and masks of any size, each kind in one uint8 buffer, from the pixel `starts` [N] on."""

    def __init__(self, images: np.ndarray, masks: np.ndarray, shapes: np.ndarray, starts: np.ndarray) -> None:
        self._images, self._masks, self.shapes, self._starts = images, masks, shapes, starts
        self._channels = len(images) // len(masks)

    def read(
        self, indices: np.ndarray, change: Change | None = None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        images, masks = [], []
        for index in indices:
            height, width = self.shapes[index]
            start = self._starts[index]
            stop = start + height * width
            pixels = self._images[start * self._channels : stop * self._channels]
            images.append(pixels.reshape(height, width, self._channels))
            masks.append(self._masks[start:stop].reshape(height, width))
        return _changed(images, masks, change)


class Skipped:
    """Samples that cannot be read, each counted once.

    In a worker process a copy notes what it finds, and the one in the trial's process counts what all of them
    have noted.

    Args:
        limit: so many may be skipped; 0 is none.
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
        """Images of samples that a worker has met since it was last asked, and what is wrong with each."""
        noted, self._noted = self._noted, []
        return noted


class ReadSamples:
    """Read when asked for, by a few threads.

    Raises:
        ValueError: from `read`, for a sample that cannot be read, or is of another size than before, unless
            it may be skipped.
    """

    def __init__(self, reader: PairReader, shapes: np.ndarray, *, channels: int, skipped: Skipped) -> None:
        self._reader, self.shapes, self._channels, self._skipped = reader, shapes, channels, skipped

    def read(
        self, indices: np.ndarray, change: Change | None = None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        def read_place(place: int) -> tuple[np.ndarray, np.ndarray, ValueError | None]:
            image, mask, error = self._read_one(int(indices[place]))
            return (image, mask, error) if change is None else (*change(place, image, mask), error)

        threads = min(num_threads(), len(indices))
        if threads < 2:
            outcomes = list(map(read_place, range(len(indices))))
        else:
            with ThreadPoolExecutor(threads) as pool:
                outcomes = list(pool.map(read_place, range(len(indices))))
        for index, (_, _, error) in zip(indices, outcomes, strict=True):
            if error is not None:
                self._skipped.add(self._reader.name(int(index)), error)
        return [image for image, _, _ in outcomes], [mask for _, mask, _ in outcomes]

    def _read_one(self, index: int) -> tuple[np.ndarray, np.ndarray, ValueError | None]:
        """Without pixels where there is an error, or was before the search."""
        nothing = np.empty((0, 0, self._channels), np.uint8), np.empty((0, 0), np.uint8)
        height, width = self.shapes[index]
        if not height:
            return *nothing, None
        try:
            image, mask = self._reader.read(index)
        except ValueError as error:
            return *nothing, error
        if mask.shape != (height, width):
            size = f"{mask.shape[1]}x{mask.shape[0]} and was {width}x{height}"
            name = self._reader.name(index)
            return *nothing, ValueError(f"{name}: is now {size}; it changed during the run")
        return image, mask, None


def skipped_of(arrays: Mapping[str, np.ndarray], limit: int) -> Skipped:
    """A count that begins with the samples that were skipped when these arrays were loaded."""
    if "skipped_files" not in arrays:
        return Skipped(limit)
    pairs = zip(arrays["skipped_files"], arrays["skipped_reasons"], strict=True)
    return Skipped(limit, {str(file): str(reason).removeprefix(f"{file}: ") for file, reason in pairs})


def samples_of(arrays: Mapping[str, np.ndarray], part: str, skipped: Skipped) -> Samples:
    """The samples of `part` ("train" or "valid") of what a data source returned."""
    shapes = arrays.get(f"{part}_shapes")
    if f"{part}_images" not in arrays:
        assert shapes is not None
        channels = len(arrays["mean"])
        reading = Reading(
            channels=channels, lookup=arrays["mask_lookup"], num_classes=len(arrays["class_names"])
        )
        return ReadSamples(_reader(arrays, part, reading), shapes, channels=channels, skipped=skipped)
    images, masks = arrays[f"{part}_images"], arrays[f"{part}_masks"]
    if shapes is None:
        return StackedSamples(images, masks)
    return FlatSamples(images, masks, shapes, arrays[f"{part}_starts"])


def _reader(arrays: Mapping[str, np.ndarray], part: str, reading: Reading) -> PairReader:
    if f"{part}_table" in arrays:
        return TableReader.of_arrays(arrays, part, reading)
    return FileReader.of_arrays(arrays, part, reading)


def _changed(
    images: list[np.ndarray], masks: list[np.ndarray], change: Change | None
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    if change is None:
        return images, masks
    pairs = [change(place, *pair) for place, pair in enumerate(zip(images, masks, strict=True))]
    return [image for image, _ in pairs], [mask for _, mask in pairs]
