"""Images and masks or classes in a data set of the library `datasets`, saved with `save_to_disk`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainables.findings import sample_error
from trainables.images import kinds
from trainables.images.options import ClassDatasetsOptions, SavedData
from trainables.images.readers import Reader
from trainables.images.stored import Stored
from trainables.images.targets import Encoded

MISSING = (
    "data source datasets needs the library datasets, which is not installed: "
    "pip install 'tune-search[datasets]'"
)
VALID_SPLITS = ("validation", "valid", "val", "test")
"""In the order of preference."""


class RowReader(Reader):
    """The rows of one split, which stay on disk.

    Args:
        root: folder of the data set.
        split: its name.

    Raises:
        ModuleNotFoundError: without the library.
        ValueError: a column is missing, or holds something else.
    """

    def __init__(self, root: str, split: str, options: SavedData) -> None:
        self._root, self._split, self._options = root, split, options
        self._by_class = isinstance(options, ClassDatasetsOptions)
        self._key = "label_column" if self._by_class else "mask_column"
        self._target: str = getattr(options, self._key)
        self._rows = self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process opens the files again."""
        return RowReader, (self._root, self._split, self._options)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], part: str, options: SavedData) -> RowReader:
        root, split = map(str, arrays[f"{part}_rows"])
        return cls(root, split, options)

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, number: int) -> str:
        return self._name(number, self._options.image_column)

    def encoded(self, number: int) -> Encoded:
        row = self._rows[number]
        images = (self._stored(number, self._options.image_column, row),)
        if not self._by_class:
            return Encoded(images, self._stored(number, self._target, row))
        value, name = row[self._target], self._name(number, self._target)
        if value is None:
            raise sample_error(kinds.WRONG_CLASS, name, "is empty")
        return Encoded(images, int(value), name)

    @property
    def classes(self) -> np.ndarray | None:
        if not self._by_class:
            return None
        return np.array([-1 if value is None else value for value in self._rows[self._target]], np.int64)

    @property
    def class_names(self) -> list[str]:
        """Those of the feature ClassLabel; empty where the column is of numbers or of masks."""
        return list(getattr(self._rows.features[self._target], "names", None) or ())

    @property
    def files(self) -> list[str]:
        """The files that hold the rows."""
        return sorted({entry["filename"] for entry in self._rows.cache_files})

    @property
    def fingerprint(self) -> str:
        """What the library calls the fingerprint of the rows as they were saved."""
        return str(load_saved(self._root)[self._split]._fingerprint)

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        return {f"{part}_rows": np.array([self._root, self._split])}

    def _name(self, number: int, column: str) -> str:
        return f"{self._root}[{self._split}][{number}][{column}]"

    def _stored(self, number: int, column: str, row: Mapping[str, Any]) -> Stored:
        """The encoded file.

        Raises:
            SampleError: the row holds nothing there, or only a path to a file elsewhere.
        """
        name, value = self._name(number, column), row[column]
        if value is None:
            raise sample_error(kinds.EMPTY, name, "is empty")
        if value["bytes"] is None:
            message = f"is the file {value['path']}, outside of the data set"
            raise sample_error(kinds.UNREADABLE, name, message, "save_to_disk of the library puts it inside")
        return Stored(name, value["bytes"])

    def _open(self) -> Any:
        """Rows of encoded images and their targets, mapped into memory."""
        from datasets import ClassLabel, Image

        rows, where = load_saved(self._root)[self._split], f"{self._root}[{self._split}]"
        keys = {self._options.image_column: "image_column", self._target: self._key}
        for column, key in keys.items():
            if column not in rows.features:
                known = ", ".join(rows.features)
                raise ValueError(f"{where}: has no column {column!r}, but {known}; set data.{key}")
            feature = rows.features[column]
            if key == "label_column":
                if not isinstance(feature, ClassLabel) and "int" not in str(getattr(feature, "dtype", "")):
                    raise ValueError(
                        f"{where}: column {column!r} is {feature}; it must be a ClassLabel or of integers"
                    )
                continue
            if not isinstance(feature, Image):
                raise ValueError(f"{where}: column {column!r} is {feature}; it must be of the feature Image")
            rows = rows.cast_column(column, Image(decode=False))
        return rows.select_columns(list(keys))


def find_rows(options: SavedData) -> tuple[str, dict[str, RowReader]]:
    """The folder of the data set, and the rows of "train" and "valid".

    Raises:
        ModuleNotFoundError: without the library.
        ValueError: naming the folder that is no such data set, or the split or column that is missing.
    """
    root = str(Path(os.path.expanduser(options.root)).resolve())
    known = list(load_saved(root))
    valid = options.valid_split or next((name for name in VALID_SPLITS if name in known), None)
    if valid is None:
        raise ValueError(
            f"{root}: has the splits {', '.join(known)}, none of {', '.join(VALID_SPLITS)}; "
            "set data.valid_split"
        )
    splits = {"train": options.train_split, "valid": valid}
    for part, split in splits.items():
        if split not in known:
            raise ValueError(f"{root}: has no split {split!r} for data.{part}_split, but {', '.join(known)}")
    if options.train_split == valid:
        raise ValueError(f"data.valid_split is {valid} like data.train_split; they must differ")
    return root, {part: RowReader(root, split, options) for part, split in splits.items()}


def load_saved(root: str) -> Any:
    """The data set by split.

    Raises:
        ModuleNotFoundError: without the library.
        ValueError: the folder is no data set, or has no splits.
    """
    try:
        from datasets import DatasetDict, load_from_disk
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    if not Path(root).is_dir():
        raise ValueError(f"data.root is {root}; it must be a folder written by save_to_disk")
    try:
        loaded = load_from_disk(root)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{root}: is not a dataset written by save_to_disk ({error})") from error
    if not isinstance(loaded, DatasetDict):
        raise ValueError(
            f"{root}: has no splits; save a DatasetDict, as train_test_split of the library makes one"
        )
    return loaded
