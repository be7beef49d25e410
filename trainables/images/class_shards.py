"""Images and their classes in tar files, which stay there: see `trainables.shards`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trainables.classification.options import ClassShardsOptions
from trainables.images.class_folder import resized
from trainables.images.images import Stored, num_threads, read_image
from trainables.shards import Sample, ShardIndex, ShardReader, find_parts, index_shards
from trainables.shards.order import BlockOrder


class ShardImages:
    """Images and labels of samples by number, as a ClassificationSource takes them.

    Args:
        arrays: what `look_at_shards` returned.
        parts: whose samples are numbered through.

    Raises:
        ValueError: from reading, with the name of the sample that is wrong.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], parts: Sequence[str], options: ClassShardsOptions
    ) -> None:
        index = ShardIndex.from_arrays(arrays, parts[0])
        for part in parts[1:]:
            index = index.joined(ShardIndex.from_arrays(arrays, part))
        self.order = BlockOrder(index.firsts, options.shuffle)
        self.images = _Column(_images, index, options)
        self.labels = _Column(_labels, index, options)


class _Column:
    """What a function makes of the samples that are asked for; worker processes get a copy."""

    def __init__(
        self,
        make: Callable[[Sequence[Sample], ClassShardsOptions], np.ndarray],
        index: ShardIndex,
        options: ClassShardsOptions,
    ) -> None:
        self._make, self._reader, self._options = make, ShardReader(index), options

    def __len__(self) -> int:
        return len(self._reader.index)

    def __getitem__(self, indices: np.ndarray, /) -> np.ndarray:
        return self._make([self._reader.read(int(index)) for index in indices], self._options)


Decoded = tuple[np.ndarray, np.ndarray]
"""Images uint8 [n, H, W, C] and labels int64 [n]."""


def look_at_shards(options: ClassShardsOptions) -> tuple[dict[str, np.ndarray], Decoded, Decoded]:
    """Index the shards, and decode a sample of the images in them.

    Returns:
        The indexes as arrays, and what was decoded of training and of validation.

    Raises:
        ValueError: naming the shard or the sample that is wrong, or a shard that both parts have.
    """
    arrays, looked_at = dict[str, np.ndarray](), dict[str, Decoded]()
    for part, files in find_parts(options.train, options.valid, options.root).items():
        index, _ = index_shards(files)
        size = min(options.sample_size, len(index))
        chosen = np.sort(np.random.default_rng(0).choice(len(index), size, replace=False, shuffle=False))
        arrays |= index.as_arrays(part)
        looked_at[part] = (
            _Column(_images, index, options)[chosen],
            _Column(_labels, index, options)[chosen],
        )
    return arrays, looked_at["train"], looked_at["valid"]


def _images(samples: Sequence[Sample], options: ClassShardsOptions) -> np.ndarray:
    """uint8 [B, H, W, C]"""

    def read(sample: Sample) -> np.ndarray:
        extension = sample.find(options.image)
        pixels = read_image(Stored(sample.name(extension), sample.bytes(extension)), options.channels)
        return pixels if options.resize is None else resized(pixels, options.resize)

    with ThreadPoolExecutor(min(num_threads(), len(samples))) as pool:
        images = list(pool.map(read, samples))
    for sample, image in zip(samples, images, strict=True):
        if image.shape != images[0].shape:
            sizes = [f"{found.shape[1]}x{found.shape[0]}" for found in (image, images[0])]
            raise ValueError(
                f"{sample.name(sample.find(options.image))}: is {sizes[0]}, and the image of "
                f"{samples[0].key} {sizes[1]}; all must have one size: set data.resize to a side in pixels"
            )
    return np.stack(images)


def _labels(samples: Sequence[Sample], options: ClassShardsOptions) -> np.ndarray:
    """int64 [B]"""
    labels = np.array([sample.integer(options.label) for sample in samples], np.int64)
    for sample, label in zip(samples, labels, strict=True):
        if not 0 <= label < len(options.class_names):
            raise ValueError(
                f"{sample.name(sample.find(options.label))}: is {label}; with {len(options.class_names)} "
                f"classes it must be 0 to {len(options.class_names) - 1}"
            )
    return labels
