"""Images and masks or classes in tar files, which stay there: see `trainables.shards`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trainables.findings import some
from trainables.folds.assign import fold_notes, groups_in_names, make_folds
from trainables.images.options import ClassShardsOptions, ShardData
from trainables.images.readers import Reader
from trainables.images.stored import Stored
from trainables.images.targets import Encoded
from trainables.shards import Sample, ShardIndex, ShardReader, find_parts, index_shards
from trainables.shards.order import BlockOrder
from trainables.shards.scan import ShardError


class ShardSamples(Reader):
    """All samples of shards."""

    def __init__(self, index: ShardIndex, options: ShardData) -> None:
        self._reader, self._options = ShardReader(index), options
        self.index = index
        self.order = BlockOrder(index.firsts, options.shuffle)
        """The order of training."""

    @classmethod
    def of_arrays(
        cls, arrays: Mapping[str, np.ndarray], parts: Sequence[str], options: ShardData
    ) -> ShardSamples:
        """The samples of these parts, one after another."""
        index = ShardIndex.from_arrays(arrays, parts[0])
        for part in parts[1:]:
            index = index.joined(ShardIndex.from_arrays(arrays, part))
        return cls(index, options)

    def in_folds(
        self, options: ShardData
    ) -> tuple[dict[str, ShardSamples], dict[str, np.ndarray], list[str]]:
        """The samples of "train" and "valid" by `data.fold`, the fold of each, and what is to be said.

        Raises:
            ValueError: a fold is empty, or a name has no group.
        """
        index, where = self._reader.index, f"shards of {options.root}"
        names = index.keys()
        folds = make_folds(options, names, where, groups_in_names(options.group, names, where))
        numbers = {"train": folds.train, "valid": folds.valid}
        parts = {part: ShardSamples(index.taken(each), options) for part, each in numbers.items()}
        notes = list(fold_notes(folds, where))
        return parts, {part: folds.of_samples[each] for part, each in numbers.items()}, notes

    @property
    def hashes(self) -> dict[str, str]:
        """By shard a hash of what its index holds."""
        return self._reader.index.hashes()

    def __len__(self) -> int:
        return len(self._reader.index)

    def name(self, number: int) -> str:
        try:
            return str(self.encoded(number).images[0])
        except ValueError:
            return f"{self._reader.index.place(number)[0]}: sample {number}"

    def num_bytes(self, number: int) -> int:
        return int(self._reader.index.place(number)[2]["size"].sum())

    def encoded(self, number: int) -> Encoded:
        sample, options = self._reader.read(number), self._options
        image = _find(sample, options.image, "image")
        images = (Stored(sample.name(image), sample.bytes(image)),)
        if isinstance(options, ClassShardsOptions):
            label = _find(sample, options.label, "label")
            return Encoded(images, sample.integer(label), sample.name(label))
        # A mask may have the extension of an image, if it is not the image itself.
        mask = _find(sample, [extension for extension in options.mask if extension != image], "mask")
        return Encoded(images, Stored(sample.name(mask), sample.bytes(mask)))

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        return self._reader.index.as_arrays(part)


def _find(sample: Sample, extensions: Sequence[str], option: str) -> str:
    try:
        return sample.find(extensions)
    except ShardError as error:
        raise ShardError(f"{error}; data.{option} says what its members are called") from error


def find_samples(options: ShardData, max_damaged: int) -> tuple[dict[str, ShardSamples], dict[str, str]]:
    """The samples of "train" and "valid", and what is wrong with shards that end too early, by file.

    With folds all of them are of "train", see `ShardSamples.in_folds`.

    Raises:
        ValueError: a shard is in both parts, or more than `max_damaged` are damaged.
    """
    parts, damaged = {}, dict[str, str]()
    for part, files in find_parts(options.train, options.valid, options.root).items():
        index, found = index_shards(files, skip_damaged=max_damaged > 0)
        parts[part] = ShardSamples(index, options)
        damaged |= found
    if len(damaged) > max_damaged:
        listed = some([f"{file}: {reason}" for file, reason in damaged.items()], separator="\n")
        raise ValueError(
            f"{len(damaged)} shards are truncated and data.max_skipped is {max_damaged}:\n{listed}"
        )
    if options.folds is not None and "valid" in parts:
        joined = parts["train"].index.joined(parts["valid"].index)
        return {"train": ShardSamples(joined, options)}, damaged
    return parts, damaged
