"""Images and masks in a data set of the library `datasets`, saved with `save_to_disk`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainables.images.augment import IGNORE
from trainables.images.decode import mask_shape, read_pair
from trainables.images.images import Stored
from trainables.images.labels import check_class_names, label_lookup
from trainables.images.loading import Loading, load_pairs
from trainables.images.readers import PairReader, Reading
from trainables.images.scan import Progress, Scan, to_stderr

MISSING = (
    "data source datasets needs the library datasets, which is not installed: "
    "pip install 'tune-search[datasets]'"
)
VALID_SPLITS = ("validation", "valid", "val", "test")
"""In this order; the first that is there."""


class TableReader:
    """The rows of one split, which stay on disk.

    Args:
        root: folder of the data set.
        split: its name.
        columns: of images and of masks.
    """

    def __init__(self, root: str, split: str, columns: tuple[str, str], reading: Reading) -> None:
        self._where, self._reading = (root, split, columns), reading
        self._rows = _open_split(*self._where)

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process opens the files again."""
        return TableReader, (*self._where, self._reading)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], part: str, reading: Reading) -> TableReader:
        root, split, images, masks = map(str, arrays[f"{part}_table"])
        return cls(root, split, (images, masks), reading)

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, number: int) -> str:
        root, split, (images, _) = self._where
        return f"{root}[{split}][{number}][{images}]"

    def shape(self, number: int) -> tuple[int, int]:
        return mask_shape(self._stored(number)[1])

    def read(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        reading = self._reading
        return read_pair(*self._stored(number), reading.channels, reading.lookup, reading.num_classes)

    def arrays(self, part: str, shapes: np.ndarray) -> dict[str, np.ndarray]:
        root, split, columns = self._where
        return {f"{part}_table": np.array([root, split, *columns]), f"{part}_shapes": shapes}

    def _stored(self, number: int) -> tuple[Stored, Stored]:
        """The encoded image and mask.

        Raises:
            ValueError: if the data set holds nothing there, or only a path to a file elsewhere.
        """
        root, split, columns = self._where
        row = self._rows[number]
        files = []
        for column in columns:
            name = f"{root}[{split}][{number}][{column}]"
            if row[column] is None:
                raise ValueError(f"{name}: is empty")
            if row[column]["bytes"] is None:
                raise ValueError(
                    f"{name}: is the file {row[column]['path']}, outside of the data set; save_to_disk of "
                    "the library puts it inside"
                )
            files.append(Stored(name, row[column]["bytes"]))
        return files[0], files[1]


def load_table_arrays(
    root: Path,
    *,
    image_column: str,
    mask_column: str,
    train_split: str,
    valid_split: str | None,
    channels: int,
    num_classes: int | None,
    class_names: Sequence[str],
    ignore_index: int,
    mask_values: Mapping[int, int],
    max_memory: int,
    imagenet_statistics: bool = False,
    max_skipped: int = 0,
    scan: Scan = "auto",
    sample_size: int = 512,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Look at the images and masks of a saved data set; as `load_folder_arrays` for the rest.

    Raises:
        ModuleNotFoundError: without the library.
        ValueError: naming the folder that is no such data set, the split or column that is missing, or each
            sample that is wrong.
    """
    where = str(root.expanduser().resolve())
    known = _split_names(where)
    splits = {"train": train_split, "valid": valid_split or _valid_split(where, known)}
    for part, split in splits.items():
        if split not in known:
            raise ValueError(f"{where}: has no split {split!r} for data.{part}_split, but {', '.join(known)}")
    if splits["train"] == splits["valid"]:
        raise ValueError(f"data.valid_split is {train_split} like data.train_split; they must differ")
    names = check_class_names(class_names, "data.class_names", num_classes)
    reading = Reading(
        channels=channels,
        lookup=label_lookup(ignore_index, mask_values),
        num_classes=len(names) or num_classes or IGNORE,
    )
    columns = image_column, mask_column
    readers: dict[str, PairReader] = {
        part: TableReader(where, split, columns, reading) for part, split in splits.items()
    }
    return load_pairs(
        readers,
        reading,
        Loading(
            origin=where,
            class_names=names or [str(number) for number in range(num_classes or 0)],
            mask_values=mask_values,
            max_memory=max_memory,
            imagenet_statistics=imagenet_statistics,
            max_skipped=max_skipped,
            scan=scan,
            sample_size=sample_size,
            progress=progress or to_stderr,
        ),
    )


def _split_names(root: str) -> list[str]:
    return list(_load(root))


def _valid_split(root: str, known: Sequence[str]) -> str:
    found = next((name for name in VALID_SPLITS if name in known), None)
    if found is None:
        raise ValueError(
            f"{root}: has the splits {', '.join(known)}, none of {', '.join(VALID_SPLITS)}; "
            "set data.valid_split"
        )
    return found


def _open_split(root: str, split: str, columns: tuple[str, str]) -> Any:
    """Rows of encoded images and masks, mapped into memory.

    Raises:
        ValueError: if a column is not there or holds no images.
    """
    from datasets import Image

    rows = _load(root)[split]
    for column in columns:
        if column not in rows.features:
            known = ", ".join(rows.features)
            raise ValueError(
                f"{root}[{split}]: has no column {column!r}, but {known}; set data.image_column and "
                "data.mask_column"
            )
        if not isinstance(rows.features[column], Image):
            raise ValueError(
                f"{root}[{split}]: column {column!r} is {rows.features[column]}; it must be of the "
                "feature Image"
            )
        rows = rows.cast_column(column, Image(decode=False))
    return rows.select_columns(list(columns))


def _load(root: str) -> Any:
    """The data set by split.

    Raises:
        ModuleNotFoundError: without the library.
        ValueError: if the folder is no data set, or has no splits.
    """
    try:
        from datasets import DatasetDict, load_from_disk
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    if not Path(root).is_dir():
        raise ValueError(f"data.root is {root}; it must be a folder that save_to_disk wrote")
    try:
        loaded = load_from_disk(root)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{root}: is no data set that save_to_disk wrote ({error})") from error
    if not isinstance(loaded, DatasetDict):
        raise ValueError(
            f"{root}: has no splits; save a DatasetDict, as train_test_split of the library makes one"
        )
    return loaded
