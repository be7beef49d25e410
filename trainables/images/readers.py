"""One numbered sample at a time, encoded, from wherever it lies."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.data.threads import in_threads, num_threads
from trainables.findings import ChangedFileError
from trainables.images.targets import Encoded

_STATS_AT_ONCE = 256


class Reader(ABC):
    """The samples of one part by number."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, number: int) -> str:
        """The image, for messages."""

    @abstractmethod
    def encoded(self, number: int) -> Encoded:
        """The sample as it lies there.

        Raises:
            ValueError: the sample is no longer there, or lacks something.
        """

    @abstractmethod
    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        """What makes such a reader again, see `trainables.images.samples`."""

    def refuse_changed(self, number: int) -> None:  # noqa: B027  # where a change is noticed otherwise
        """Raise ChangedFileError if a file of the sample was written since all of them were found."""

    def num_bytes(self, number: int) -> int:
        """Bytes to read for the sample; 0 where that is unknown."""
        return 0

    @property
    def classes(self) -> np.ndarray | None:
        """The class of every sample, int64 [N], where it is known without reading them all."""
        return None


class FileReader(Reader):
    """Images in files, and their masks or classes.

    Args:
        images: paths, str [N, files of an image].
        targets: paths of masks, str [N], or classes, int64 [N].
        found: when, in nanoseconds, int64 [N]; a sample with a file that was written later is refused.
        class_masks: paths of the mask of each class, empty where a sample has none, str [N, K].
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        found: np.ndarray | None = None,
        class_masks: np.ndarray | None = None,
    ) -> None:
        self._class_masks = class_masks
        self._images, self._targets = images, targets
        self._found = found  # None: nothing is refused
        self._dates = np.zeros(0, np.int64) if found is None else found

    @classmethod
    def of_samples(cls, samples: Sequence[Encoded]) -> FileReader:
        width = max(len(sample.images) for sample in samples)
        # A missing image is one path, whatever the number of channels.
        files = [sample.images + sample.images[-1:] * (width - len(sample.images)) for sample in samples]
        images = np.array([list(map(str, of_sample)) for of_sample in files])
        targets = [
            sample.target if isinstance(sample.target, int) else str(sample.target) for sample in samples
        ]
        by_class = [list(map(_path_or_none, sample.class_masks)) for sample in samples if sample.class_masks]
        reader = cls(images, np.array(targets), class_masks=np.array(by_class) if by_class else None)
        reader._dates = _dates(samples)
        return reader

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], part: str) -> FileReader:
        files, targets = arrays[f"{part}_image_files"], arrays[f"{part}_file_targets"]
        found = arrays.get(f"{part}_files_found")
        return cls(files, targets, found, arrays.get(f"{part}_class_masks"))

    @property
    def files(self) -> dict[str, list[str]]:
        """The paths of all `images`, and of all `masks` if there are any."""
        masks = self._targets if self._class_masks is None else self._class_masks[self._class_masks != ""]
        targets = {} if self.classes is not None else {"masks": masks.tolist()}
        return {"images": self._images.ravel().tolist(), **targets}

    def __len__(self) -> int:
        return len(self._images)

    def name(self, number: int) -> str:
        return str(self._images[number, 0])

    def num_bytes(self, number: int) -> int:
        return sum(file.stat().st_size for file in self.encoded(number).files if file.exists())

    def encoded(self, number: int) -> Encoded:
        images = tuple(map(Path, self._images[number]))
        if self.classes is not None:
            return Encoded(images, int(self.classes[number]), str(images[0]))
        by_class = () if self._class_masks is None else self._class_masks[number].tolist()
        masks = tuple(Path(file) if file else None for file in by_class)
        return Encoded(images, Path(self._targets[number]), class_masks=masks)

    @property
    def classes(self) -> np.ndarray | None:
        return self._targets if self._targets.dtype == np.int64 else None

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        return {
            f"{part}_image_files": self._images,
            f"{part}_file_targets": self._targets,
            f"{part}_files_found": self._dates,
            **({} if self._class_masks is None else {f"{part}_class_masks": self._class_masks}),
        }

    def refuse_changed(self, number: int) -> None:
        if self._found is None:
            return
        for file in self.encoded(number).files:
            if _date(file) > self._found[number]:
                raise ChangedFileError(file)


def _dates(samples: Sequence[Encoded]) -> np.ndarray:
    """Now, or for each sample the date of its newest file: another machine's clock may be ahead."""
    now, size = time.time_ns(), _STATS_AT_ONCE

    def newest(place: int) -> list[int]:
        some = samples[place * size : (place + 1) * size]
        return [max(now, *map(_date, sample.files)) for sample in some]

    chunks = in_threads(newest, -(-len(samples) // size), num_threads())
    return np.array([date for dates in chunks for date in dates], np.int64)


def _date(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0  # decoding reports it


def _path_or_none(file: object) -> str:
    return "" if file is None else str(file)


class Subset(Reader):
    """Some of a reader's samples, renumbered; its arrays cover all of them."""

    def __init__(self, reader: Reader, numbers: np.ndarray) -> None:
        self._reader, self._numbers = reader, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def name(self, number: int) -> str:
        return self._reader.name(int(self._numbers[number]))

    def encoded(self, number: int) -> Encoded:
        return self._reader.encoded(int(self._numbers[number]))

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        return self._reader.as_arrays(part)
