"""Images and masks in tar files, which stay there: see `trainables.shards`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainables.images.decode import mask_shape, read_pair
from trainables.images.images import Stored
from trainables.images.labels import check_class_names, label_lookup
from trainables.images.loading import Loading, load_pairs
from trainables.images.readers import Reading
from trainables.images.samples import ReadSamples, Skipped
from trainables.images.scan import Progress, Scan, to_stderr
from trainables.shards import ShardIndex, ShardReader, find_parts, index_shards
from trainables.shards.order import BlockOrder

Extensions = Sequence[str]


class ShardPairs:
    """A PairReader of the samples of shards, or of some of them.

    Args:
        image, mask: extensions of the members, the first one that a sample has.
        chosen: numbers of the samples that are meant; all if None.
    """

    def __init__(
        self,
        index: ShardIndex,
        image: Extensions,
        mask: Extensions,
        reading: Reading,
        chosen: np.ndarray | None = None,
    ) -> None:
        self._reader, self._image, self._mask, self._reading = ShardReader(index), image, mask, reading
        self._chosen = chosen

    def __len__(self) -> int:
        return len(self._reader.index) if self._chosen is None else len(self._chosen)

    def name(self, number: int) -> str:
        try:
            return self._stored(number)[0].name
        except ValueError:
            return f"{self._reader.index.place(self._number(number))[0]}: sample {self._number(number)}"

    def shape(self, number: int) -> tuple[int, int]:
        return mask_shape(self._stored(number)[1])

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        reading = self._reading
        return read_pair(*self._stored(number), reading.channels, reading.lookup, reading.num_classes)

    def arrays(self, part: str, shapes: np.ndarray) -> dict[str, np.ndarray]:
        """The index of all samples, also where only some are chosen; the size of one stands for all."""
        size = shapes[shapes.all(axis=1)][:1]
        return {**self._reader.index.as_arrays(part), f"{part}_size": size}

    def _number(self, number: int) -> int:
        return number if self._chosen is None else int(self._chosen[number])

    def _stored(self, number: int) -> tuple[Stored, Stored]:
        sample = self._reader.read(self._number(number))
        image = sample.find(self._image)
        # A mask may have the extension of an image, if it is not the image itself.
        mask = sample.find([extension for extension in self._mask if extension != image])
        stored = [Stored(sample.name(each), sample.bytes(each)) for each in (image, mask)]
        return stored[0], stored[1]


class ShardSamples(ReadSamples):
    """The samples of shards by number. `shapes` says of all what is known of one: reading all takes long."""

    def __init__(
        self,
        pairs: ShardPairs,
        index: ShardIndex,
        size: np.ndarray,
        shuffle: int,
        skipped: Skipped,
        channels: int,
    ) -> None:
        super().__init__(pairs, np.broadcast_to(size, (len(index), 2)), channels=channels, skipped=skipped)
        self.order = BlockOrder(index.firsts, shuffle)

    def _read_one(self, index: int) -> tuple[np.ndarray, np.ndarray, ValueError | None]:
        try:
            return *self._reader.read(index), None
        except ValueError as error:
            return np.empty((0, 0, self._channels), np.uint8), np.empty((0, 0), np.uint8), error


def shard_samples_of(
    arrays: Mapping[str, np.ndarray], parts: Sequence[str], skipped: Skipped
) -> ShardSamples:
    """The samples of these parts, one after another, of what `load_shard_arrays` returned."""
    index = ShardIndex.from_arrays(arrays, parts[0])
    for part in parts[1:]:
        index = index.joined(ShardIndex.from_arrays(arrays, part))
    image, mask = ([str(each) for each in arrays[name]] for name in ("image_members", "mask_members"))
    channels = len(arrays["mean"])
    reading = Reading(channels=channels, lookup=arrays["mask_lookup"], num_classes=len(arrays["class_names"]))
    pairs = ShardPairs(index, image, mask, reading)
    size = arrays[f"{parts[0]}_size"]
    return ShardSamples(pairs, index, size, int(arrays["shuffle"]), skipped, channels)


def load_shard_arrays(
    root: str,
    *,
    train: Sequence[str],
    valid: Sequence[str],
    image: Extensions,
    mask: Extensions,
    shuffle: int,
    channels: int,
    num_classes: int | None,
    class_names: Sequence[str],
    ignore_index: int,
    mask_values: Mapping[int, int],
    imagenet_statistics: bool = False,
    max_skipped: int = 0,
    scan: Scan = "auto",
    sample_size: int = 512,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Index the shards, and look at a sample of the images and masks in them.

    Returns:
        For part "train" and "valid" the index (see ShardIndex.as_arrays) and `{part}_size` int64 [1, 2];
        besides, `image_members`, `mask_members` and `shuffle`, and what `load_pairs` returns.

    Raises:
        ValueError: naming the shard or the sample that is wrong.
    """
    names = check_class_names(class_names, "data.class_names", num_classes)
    reading = Reading(
        channels=channels,
        lookup=label_lookup(ignore_index, mask_values),
        num_classes=len(names) or num_classes or 0,
    )
    indexes, damaged = _indexes(train, valid, root, max_skipped)
    pairs = {
        part: ShardPairs(index, image, mask, reading, _chosen(len(index), scan, sample_size))
        for part, index in indexes.items()
    }
    loaded = load_pairs(
        pairs,
        reading,
        Loading(
            origin=root,
            class_names=names or [str(number) for number in range(reading.num_classes)],
            mask_values=mask_values,
            max_memory=-1,
            imagenet_statistics=imagenet_statistics,
            max_skipped=max_skipped - len(damaged),
            scan="all",
            sample_size=sample_size,
            progress=progress or to_stderr,
        ),
    )
    for part in indexes:
        if not len(loaded[f"{part}_size"]):
            raise ValueError(f"{root}: of the {part} samples that were looked at none can be read")
    return loaded | _members(image, mask, shuffle) | _with_damaged(loaded, damaged)


def _indexes(
    train: Sequence[str], valid: Sequence[str], root: str, max_skipped: int
) -> tuple[dict[str, ShardIndex], dict[str, str]]:
    """Index of each part, and the shards that end too early.

    Raises:
        ValueError: a shard is in both parts, or more are damaged than may be.
    """
    indexes, damaged = {}, dict[str, str]()
    for part, files in find_parts(train, valid, root).items():
        indexes[part], found = index_shards(files, skip_damaged=max_skipped > 0)
        damaged |= found
    if len(damaged) > max_skipped:
        told = "\n".join(f"{file}: {reason}" for file, reason in list(damaged.items())[:10])
        raise ValueError(
            f"{len(damaged)} shards end too early and data.max_skipped is {max_skipped}:\n{told}"
        )
    return indexes, damaged


def _chosen(length: int, scan: Scan, sample_size: int) -> np.ndarray | None:
    """Samples to look at: spread over all shards, the same each time."""
    if scan == "all" or length <= sample_size:
        return None
    return np.sort(np.random.default_rng(0).choice(length, sample_size, replace=False, shuffle=False))


def _members(image: Extensions, mask: Extensions, shuffle: int) -> dict[str, Any]:
    return {
        "image_members": np.array(image, np.str_),
        "mask_members": np.array(mask, np.str_),
        "shuffle": np.array(shuffle),
    }


def _with_damaged(loaded: Mapping[str, np.ndarray], damaged: Mapping[str, str]) -> dict[str, np.ndarray]:
    """A shard that ends too early counts as one sample that is skipped."""
    return {
        "skipped_files": np.array([*loaded["skipped_files"], *damaged], np.str_),
        "skipped_reasons": np.array([*loaded["skipped_reasons"], *damaged.values()], np.str_),
    }
