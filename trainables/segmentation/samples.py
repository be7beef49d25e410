"""Where images and masks lie: stacked in memory, one after another in memory, or in files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from trainables.segmentation.decode import num_threads, read_pair

log = logging.getLogger(__name__)


class Samples(Protocol):
    """Pairs of an image, uint8 [H, W, C], and a mask, uint8 [H, W].

    A sample that is skipped keeps its number and has no pixels: H and W are 0. So the order of the others is
    the same whether a file broke before a search, while it ran or before it was resumed.
    """

    @property
    def shapes(self) -> np.ndarray:
        """Height and width of each sample: int64 [N, 2]."""
        ...

    def read(self, indices: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]: ...


class StackedSamples:
    """Images [N, H, W, C] and masks [N, H, W] of one size."""

    def __init__(self, images: np.ndarray, masks: np.ndarray) -> None:
        self.images, self.masks = images, masks

    @property
    def shapes(self) -> np.ndarray:
        return np.tile(np.array(self.masks.shape[1:], np.int64), (len(self.masks), 1))

    def read(self, indices: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return [self.images[index] for index in indices], [self.masks[index] for index in indices]


class FlatSamples:
    """Images and masks of any size, each kind in one uint8 buffer, from the pixel `starts` [N] on."""

    def __init__(self, images: np.ndarray, masks: np.ndarray, shapes: np.ndarray, starts: np.ndarray) -> None:
        self._images, self._masks, self.shapes, self._starts = images, masks, shapes, starts
        self._channels = len(images) // len(masks)

    def read(self, indices: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        images, masks = [], []
        for index in indices:
            height, width = self.shapes[index]
            start = self._starts[index]
            stop = start + height * width
            pixels = self._images[start * self._channels : stop * self._channels]
            images.append(pixels.reshape(height, width, self._channels))
            masks.append(self._masks[start:stop].reshape(height, width))
        return images, masks


class Skipped:
    """Samples that cannot be read, each counted once.

    Args:
        limit: so many may be skipped; 0 is none.
        already: so many were skipped before.
    """

    def __init__(self, limit: int, already: int = 0) -> None:
        self._limit, self._already = limit, already
        self._files: set[str] = set()

    def add(self, file: str, error: ValueError) -> None:
        """Count the sample with this image.

        Raises:
            ValueError: the same one if none may be skipped, or one that names the limit.
        """
        if file in self._files:
            return
        if not self._limit:
            raise error
        number = self._already + len(self._files) + 1
        if number > self._limit:
            raise ValueError(f"{error}; {number} samples are wrong and data.max_skipped is {self._limit}")
        self._files.add(file)
        log.warning("%s; skipped, as %d of at most %d", error, number, self._limit)


class FileSamples:
    """Decoded when asked for, by a few threads.

    Raises:
        ValueError: from `read`, for a file that cannot be decoded, holds a label beyond the classes or is of
            another size than before, unless it may be skipped.
    """

    def __init__(
        self,
        image_files: np.ndarray,
        mask_files: np.ndarray,
        shapes: np.ndarray,
        *,
        channels: int,
        lookup: np.ndarray,
        num_classes: int,
        skipped: Skipped,
    ) -> None:
        self._image_files, self._mask_files, self.shapes = image_files, mask_files, shapes
        self._channels, self._lookup, self._num_classes = channels, lookup, num_classes
        self._skipped = skipped

    def read(self, indices: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        with ThreadPoolExecutor(min(num_threads(), len(indices))) as pool:
            outcomes = list(pool.map(self._read_one, indices))
        images, masks = [], []
        for index, outcome in zip(indices, outcomes, strict=True):
            if isinstance(outcome, ValueError):
                self._skipped.add(str(self._image_files[index]), outcome)
                outcome = self._no_pixels()
            images.append(outcome[0])
            masks.append(outcome[1])
        return images, masks

    def _read_one(self, index: int) -> tuple[np.ndarray, np.ndarray] | ValueError:
        height, width = self.shapes[index]
        if not height:
            return self._no_pixels()
        image_file, mask_file = Path(self._image_files[index]), Path(self._mask_files[index])
        try:
            image, mask = read_pair(image_file, mask_file, self._channels, self._lookup, self._num_classes)
        except ValueError as error:
            return error
        if mask.shape != (height, width):
            return ValueError(
                f"{image_file}: is now {mask.shape[1]}x{mask.shape[0]} and was {width}x{height}; "
                "it changed during the run"
            )
        return image, mask

    def _no_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        return np.empty((0, 0, self._channels), np.uint8), np.empty((0, 0), np.uint8)


def skipped_of(arrays: Mapping[str, np.ndarray], limit: int) -> Skipped:
    """A count that begins with the samples that were skipped when these arrays were loaded."""
    shapes = [arrays[name] for name in ("train_shapes", "valid_shapes") if name in arrays]
    return Skipped(limit, sum(int((of_part == 0).all(axis=1).sum()) for of_part in shapes))


def samples_of(arrays: Mapping[str, np.ndarray], part: str, skipped: Skipped) -> Samples:
    """The samples of `part` ("train" or "valid") of what a data source returned."""
    shapes = arrays.get(f"{part}_shapes")
    if f"{part}_image_files" in arrays:
        assert shapes is not None
        return FileSamples(
            arrays[f"{part}_image_files"],
            arrays[f"{part}_mask_files"],
            shapes,
            channels=len(arrays["mean"]),
            lookup=arrays["mask_lookup"],
            num_classes=len(arrays["class_names"]),
            skipped=skipped,
        )
    images, masks = arrays[f"{part}_images"], arrays[f"{part}_masks"]
    if shapes is None:
        return StackedSamples(images, masks)
    return FlatSamples(images, masks, shapes, arrays[f"{part}_starts"])
