"""Images and masks or classes in a data set of the library `datasets`, saved with `save_to_disk`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainables.findings import sample_error
from trainables.folds.assign import fold_notes, make_folds
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
TEST = "test"
"""A split that folds are not made of unless it is named."""
_AND = "+"
"""Between splits that are joined, as the library writes it."""


class RowReader(Reader):
    """The rows of one split, which stay on disk.

    Args:
        root: folder of the data set.
        split: its name, or those of two that are joined, as train+validation.
        chosen: numbers of its rows, int64; None: all of them.

    Raises:
        ModuleNotFoundError: without the library.
        ValueError: a column is missing, or holds something else.
    """

    def __init__(self, root: str, split: str, options: SavedData, chosen: np.ndarray | None = None) -> None:
        self._root, self._split, self._options, self._chosen = root, split, options, chosen
        self._by_class = isinstance(options, ClassDatasetsOptions)
        self._key = "label_column" if self._by_class else "mask_column"
        self._target: str = getattr(options, self._key)
        self._rows = self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker process opens the files again."""
        return RowReader, (self._root, self._split, self._options, self._chosen)

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray], part: str, options: SavedData) -> RowReader:
        root, split = map(str, arrays[f"{part}_rows"])
        return cls(root, split, options, arrays.get(f"{part}_row_numbers"))

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
        saved = load_saved(self._root)
        return _AND.join(str(saved[split]._fingerprint) for split in self._split.split(_AND))

    @property
    def where(self) -> str:
        """The rows, for messages."""
        return f"{self._root}[{self._split}]"

    def row_names(self) -> list[str]:
        """Split and number of each row, which more rows at the end of a split do not change."""
        saved = load_saved(self._root)
        splits = [self._split] if self._split in saved else self._split.split(_AND)
        return [f"{split}/{number}" for split in splits for number in range(len(saved[split]))]

    def groups(self) -> list[str] | None:
        """The text of `data.group` in each row; None without it.

        Raises:
            ValueError: there is no such column, or a row has none.
        """
        column, rows = self._options.group, saved_rows(self._root, self._split)
        if column is None:
            return None
        if column not in rows.features:
            raise ValueError(
                f"{self.where}: has no column {column!r} (data.group), but {', '.join(rows.features)}"
            )
        texts = rows[column]
        if None in texts:
            raise ValueError(
                f"{self.where}[{texts.index(None)}]: column {column!r} is empty; every row must have a "
                "group (data.group)"
            )
        return list(map(str, texts))

    def taken(self, numbers: np.ndarray) -> RowReader:
        """These rows alone, int64, ascending."""
        return RowReader(self._root, self._split, self._options, numbers)

    def as_arrays(self, part: str) -> dict[str, np.ndarray]:
        chosen = {} if self._chosen is None else {f"{part}_row_numbers": self._chosen}
        return {f"{part}_rows": np.array([self._root, self._split]), **chosen}

    def _name(self, number: int, column: str) -> str:
        row = number if self._chosen is None else int(self._chosen[number])
        return f"{self._root}[{self._split}][{row}][{column}]"

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

        rows, where = saved_rows(self._root, self._split), f"{self._root}[{self._split}]"
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
        rows = rows.select_columns(list(keys))
        return rows if self._chosen is None else rows.select(self._chosen)


def find_rows(options: SavedData) -> tuple[str, dict[str, RowReader]]:
    """The folder of the data set, and the rows of "train" and "valid"; with folds all of
    them are of "train", see `folds_of_rows`.

    Raises:
        ModuleNotFoundError: without the library.
        ValueError: naming the folder that is no such data set, or the split or column that is missing.
    """
    root = str(Path(os.path.expanduser(options.root)).resolve())
    known = list(load_saved(root))
    usual = [name for name in VALID_SPLITS if options.folds is None or name != TEST]
    valid = options.valid_split or next((name for name in usual if name in known), None)
    if options.folds is not None and valid is None:
        return root, {"train": RowReader(root, options.train_split, options)}
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
    if options.folds is not None:
        return root, {"train": RowReader(root, _AND.join(splits.values()), options)}
    return root, {part: RowReader(root, split, options) for part, split in splits.items()}


def folds_of_rows(
    rows: RowReader, options: SavedData
) -> tuple[dict[str, RowReader], dict[str, np.ndarray], list[str]]:
    """The rows of "train" and "valid" by `data.fold`, the fold of each, and what is to be said.

    Raises:
        ValueError: a fold is empty, or there is no column `data.group`, or it is empty in a row.
    """
    folds = make_folds(options, rows.row_names(), rows.where, rows.groups())
    numbers = {"train": folds.train, "valid": folds.valid}
    classes = None if rows.classes is None else list(map(str, rows.classes.tolist()))
    notes = list(fold_notes(folds, rows.where, classes))
    parts = {part: rows.taken(each) for part, each in numbers.items()}
    return parts, {part: folds.of_samples[each] for part, each in numbers.items()}, notes


def saved_rows(root: str, split: str) -> Any:
    """The rows of a split, or of several with a + between their names."""
    saved = load_saved(root)
    if _AND not in split or split in saved:
        return saved[split]
    from datasets import concatenate_datasets

    return concatenate_datasets([saved[each] for each in split.split(_AND)])


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
