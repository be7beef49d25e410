"""Where images and masks lie: stacked in memory, one after another in memory, or in files."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from trainables.segmentation.decode import check_labels, map_labels, num_threads, read_image, read_mask


class Samples(Protocol):
    """Pairs of an image, uint8 [H, W, C], and a mask, uint8 [H, W]."""

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
    """Images and masks of any size, each kind in one uint8 buffer, one sample after another."""

    def __init__(self, images: np.ndarray, masks: np.ndarray, shapes: np.ndarray) -> None:
        self._images, self._masks, self.shapes = images, masks, shapes
        self._starts = starts_of(shapes)
        self._channels = len(images) // max(1, int(self._starts[-1]))

    def read(self, indices: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        images, masks = [], []
        for index in indices:
            height, width = self.shapes[index]
            start, stop = self._starts[index], self._starts[index + 1]
            pixels = self._images[start * self._channels : stop * self._channels]
            images.append(pixels.reshape(height, width, self._channels))
            masks.append(self._masks[start:stop].reshape(height, width))
        return images, masks


class FileSamples:
    """Decoded when asked for, by a few threads.

    Raises:
        ValueError: from `read`, for a file that cannot be decoded or holds a label beyond the classes.
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
    ) -> None:
        self._image_files, self._mask_files, self.shapes = image_files, mask_files, shapes
        self._channels, self._lookup, self._num_classes = channels, lookup, num_classes

    def read(self, indices: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        with ThreadPoolExecutor(min(num_threads(), len(indices))) as pool:
            pairs = list(pool.map(self._read_one, indices))
        return [image for image, _ in pairs], [mask for _, mask in pairs]

    def _read_one(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image_file, mask_file = Path(self._image_files[index]), Path(self._mask_files[index])
        image, mask = read_image(image_file, self._channels), read_mask(mask_file)
        expected = tuple(self.shapes[index])
        for file, array in ((image_file, image), (mask_file, mask)):
            if array.shape[:2] != expected:
                raise ValueError(
                    f"{file}: is now {array.shape[1]}x{array.shape[0]}; it changed during the run"
                )
        labels = map_labels(mask_file, mask, self._lookup)
        check_labels(mask_file, labels, self._num_classes)
        return image, labels


def starts_of(shapes: np.ndarray) -> np.ndarray:
    """Where each sample's pixels start in a flat buffer, and the end of the last: int64 [N + 1]."""
    return np.concatenate([[0], np.cumsum(shapes.prod(axis=1))])


def samples_of(arrays: Mapping[str, np.ndarray], part: str) -> Samples:
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
        )
    images, masks = arrays[f"{part}_images"], arrays[f"{part}_masks"]
    return StackedSamples(images, masks) if shapes is None else FlatSamples(images, masks, shapes)
