"""One numbered sample at a time, encoded, from wherever it lies."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from trainables.findings import ChangedFileError
from trainables.images.targets import Encoded


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
        found: when the files were found, in nanoseconds; what is written later is refused. 0: from now on.
    """

    def __init__(self, images: np.ndarray, targets: np.ndarray, found: int = 0) -> None:
        self._images, self._targets = images, targets
        self._found, self._found_before = found or time.time_ns(), found > 0

    @classmethod
    def of_samples(cls, samples: Sequence[Encoded]) -> FileReader:
        width = max(len(sample.images) for sample in samples)
        # A missing image is one path, whatever the number of channels.
        files = [sample.images + sample.images[-1:] * (width - len(sample.images)) for sample in samples]
        images = np.array([list(map(str, of_sample)) for of_sample in files])
        targets = [
            sample.target if isinstance(sample.target, int) else str(sample.target) for sample in samples
        ]
        return cls(images, np.array(targets))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], part: str) -> FileReader:
        files, targets = arrays[f"{part}_image_files"], arrays[f"{part}_file_targets"]
        return cls(files, targets, int(arrays.get(f"{part}_files_found", 0)))

    @property
    def files(self) -> dict[str, list[str]]:
        """The paths of all `images`, and of all `masks` if there are any."""
        targets = {} if self.classes is not None else {"masks": self._targets.tolist()}
        return {"images": self._images.ravel().tolist(), **targets}

    def __len__(self) -> int:
        return len(self._images)

    def name(self, number: int) -> str:
        return str(self._images[number, 0])

    def num_bytes(self, number: int) -> int:
        sample = self.encoded(number)
        files = [file for file in (*sample.images, sample.target) if isinstance(file, Path)]
        return sum(file.stat().st_size for file in files if file.exists())

    def encoded(self, number: int) -> Encoded:
        images = tuple(map(Path, self._images[number]))
        if self.classes is not None:
            return Encoded(images, int(self.classes[number]), str(images[0]))
        return Encoded(images, Path(self._targets[number]))

    @property
    def classes(self) -> np.ndarray | None:
        return self._targets if self._targets.dtype == np.int64 else None

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        return {
            f"{part}_image_files": self._images,
            f"{part}_file_targets": self._targets,
            f"{part}_files_found": np.array(self._found),
        }

    def refuse_changed(self, number: int) -> None:
        sample = self.encoded(number)
        files = [file for file in (*sample.images, sample.target) if isinstance(file, Path)]
        for file in files if self._found_before else ():
            with suppress(OSError):  # decoding reports it
                if file.stat().st_mtime_ns > self._found:
                    raise ChangedFileError(file)


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
