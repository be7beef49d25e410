"""One numbered pair of image and mask at a time, from wherever they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from trainables.images.decode import mask_shape, read_pair
from trainables.images.layouts.base import Pair


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files become pixels and classes, the same for all."""

    channels: int
    """Of an image after reading it."""
    lookup: np.ndarray
    """From labels in masks to classes and `IGNORE`: int16 [256], -1 is neither."""
    num_classes: int


class PairReader(Protocol):
    """Pairs by number; `shape` and `read` raise ValueError with the name of what is wrong."""

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """Of the image, for messages."""
        ...

    def shape(self, number: int) -> tuple[int, int]:
        """Height and width of the mask, from its header."""
        ...

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Image uint8 [H, W, channels] and mask uint8 [H, W] of classes and `IGNORE`."""
        ...

    def arrays(self, part: str, shapes: np.ndarray) -> dict[str, np.ndarray]:
        """What `samples_of` needs to make such a reader of this part again."""
        ...


class FileReader:
    """Pairs of files.

    Args:
        pairs: paths as text: image, mask, then any further channels of the image.
    """

    def __init__(self, pairs: Sequence[Sequence[str]], reading: Reading) -> None:
        self._pairs, self._reading = pairs, reading

    @classmethod
    def of_pairs(cls, pairs: Sequence[Pair], reading: Reading) -> FileReader:
        return cls([tuple(map(str, (pair.image, pair.mask, *pair.more))) for pair in pairs], reading)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], part: str, reading: Reading) -> FileReader:
        columns = [arrays[f"{part}_image_files"], arrays[f"{part}_mask_files"]]
        columns += list(arrays.get(f"{part}_more_files", ()))
        return cls(_Rows(columns), reading)

    def __len__(self) -> int:
        return len(self._pairs)

    def name(self, number: int) -> str:
        return str(self._pairs[number][0])

    def shape(self, number: int) -> tuple[int, int]:
        return mask_shape(Path(self._pairs[number][1]))

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        image, mask, *more = map(Path, self._pairs[number])
        reading = self._reading
        return read_pair(image, mask, reading.channels, reading.lookup, reading.num_classes, more)

    def arrays(self, part: str, shapes: np.ndarray) -> dict[str, np.ndarray]:
        images, masks, *more = (np.array(column) for column in zip(*self._pairs, strict=True))
        of_part = {f"{part}_image_files": images, f"{part}_mask_files": masks, f"{part}_shapes": shapes}
        return {**of_part, f"{part}_more_files": np.stack(more)} if more else of_part


class _Rows(Sequence[Sequence[str]]):
    """Columns of equal length, read by row without a copy."""

    def __init__(self, columns: Sequence[np.ndarray]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, number: int) -> Sequence[str]:  # type: ignore[override]  # no slices
        return [str(column[number]) for column in self._columns]
