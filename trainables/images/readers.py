"""One numbered sample at a time, encoded, from wherever it lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from trainables.images.layouts.base import Pair
from trainables.images.targets import Encoded


class Reader(Protocol):
    """The samples of one part by number."""

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """The image, for messages."""
        ...

    def num_bytes(self, number: int) -> int:
        """Bytes to read for the sample; 0 where nobody knows."""
        ...

    def encoded(self, number: int) -> Encoded:
        """The sample as it lies there.

        Raises:
            ValueError: there is no such sample any more, or it lacks something.
        """
        ...

    @property
    def classes(self) -> np.ndarray | None:
        """The class of every sample, int64 [N], where it is known without reading them all."""
        ...

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        """What makes such a reader again, see `trainables.images.samples`."""
        ...


class FileReader:
    """Images in files, and their masks or classes.

    Args:
        images: paths, str [N].
        targets: paths of masks, str [N], or classes, int64 [N].
        more: paths of each image's further channels, str [channels - 1, N].
    """

    def __init__(self, images: np.ndarray, targets: np.ndarray, more: Sequence[np.ndarray] = ()) -> None:
        self._images, self._targets, self._more = images, targets, more

    @classmethod
    def of_pairs(cls, pairs: Sequence[Pair]) -> FileReader:
        columns = zip(*((pair.image, pair.mask, *pair.more) for pair in pairs), strict=True)
        images, masks, *more = (np.array(list(map(str, column))) for column in columns)
        return cls(images, masks, more)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], part: str) -> FileReader:
        more = list(arrays.get(f"{part}_more_files", ()))
        return cls(arrays[f"{part}_image_files"], arrays[f"{part}_file_targets"], more)

    def __len__(self) -> int:
        return len(self._images)

    def name(self, number: int) -> str:
        return str(self._images[number])

    def num_bytes(self, number: int) -> int:
        sample = self.encoded(number)
        return sum(map(_size_of, [*sample.images, sample.target]))

    def encoded(self, number: int) -> Encoded:
        images = tuple(Path(column[number]) for column in (self._images, *self._more))
        if self.classes is not None:
            return Encoded(images, int(self.classes[number]), str(images[0]))
        return Encoded(images, Path(self._targets[number]))

    @property
    def classes(self) -> np.ndarray | None:
        return self._targets if self._targets.dtype == np.int64 else None

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        arrays = {f"{part}_image_files": self._images, f"{part}_file_targets": self._targets}
        return {**arrays, f"{part}_more_files": np.stack(self._more)} if self._more else arrays


class Subset:
    """Some of the samples of a reader, numbered anew; its arrays are those of all."""

    def __init__(self, reader: Reader, numbers: np.ndarray) -> None:
        self._reader, self._numbers = reader, numbers
        self.classes, self.as_arrays = None, reader.as_arrays

    def __len__(self) -> int:
        return len(self._numbers)

    def name(self, number: int) -> str:
        return self._reader.name(int(self._numbers[number]))

    def num_bytes(self, number: int) -> int:
        return self._reader.num_bytes(int(self._numbers[number]))

    def encoded(self, number: int) -> Encoded:
        return self._reader.encoded(int(self._numbers[number]))


def _size_of(file: object) -> int:
    try:
        return file.stat().st_size if isinstance(file, Path) else 0
    except OSError:
        return 0
