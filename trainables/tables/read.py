"""A CSV file as training and validation rows of texts; what is wrong in it is named by line and column.

The file is read by Python's own csv module, which refuses broken quotes and knows the line of each row.
"""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.tables.options import CSVOptions

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this are infinite in the model's own type."""

Split = tuple[np.ndarray, np.ndarray]
"""Row numbers of training and of validation, each sorted: int64."""


@dataclass(frozen=True)
class Sheet:
    """What a CSV file holds, as texts without surrounding spaces.

    `columns` has as many texts in each column as `lines`, which says where in the file each row begins.
    """

    file: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def cell(self, row: int, name: str) -> str:
        """Where a cell is, for messages."""
        return f"{self.file}:{self.lines[row]}: column {name!r}"

    def take(self, rows: np.ndarray) -> Sheet:
        """These rows of it, in this order."""
        columns = {name: [texts[row] for row in rows] for name, texts in self.columns.items()}
        return Sheet(self.file, columns, [self.lines[row] for row in rows])

    def require(self, names: Iterable[str], option: str) -> None:
        """Refuse a name that no column has.

        Raises:
            ValueError: with the nearest name.
        """
        for name in names:
            if name not in self.columns:
                same = [known for known in self.columns if known.lower() == name.lower()]
                close = same or difflib.get_close_matches(name, self.columns, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {listed(list(self.columns), 10)}"
                raise ValueError(f"{self.file}: has no column {name!r} ({option}); {hint}")

    def number(self, row: int, name: str, remedy: str) -> float:
        """The number in a cell.

        Raises:
            ValueError: naming the cell that holds none, or one that is not finite.
        """
        text = self.columns[name][row]
        number = finite_number(text)
        if number is None:
            raise ValueError(f"{self.cell(row, name)}: received {text!r}; must be a finite number{remedy}")
        return number


class Sheets(NamedTuple):
    """The rows of a CSV file, or of two."""

    train: Sheet
    valid: Sheet


def read_sheets(options: CSVOptions, split: Callable[[Sheet], Split]) -> Sheets:
    """Read the file, or both files.

    Args:
        split: which rows of one file are for training and which for validation.

    Raises:
        ValueError: as `read_csv` does, or if a column that the options name or validation needs is missing.
    """
    train = read_csv(Path(options.path).expanduser(), options.delimiter)
    train.require([options.target], "data.target")
    train.require(options.ignore_columns, "data.ignore_columns")
    train.require(options.text_columns, "data.text_columns")
    if options.target in options.ignore_columns:
        raise ValueError(
            f"data.ignore_columns holds the target {options.target!r}; it must hold other columns"
        )
    if options.valid_path is None:
        if len(train) < 2:
            raise ValueError(f"{train.file}: has 1 row; training and validation need at least one each")
        return Sheets(*map(train.take, split(train)))
    valid = read_csv(Path(options.valid_path).expanduser(), options.delimiter)
    used = [name for name in train.columns if name not in options.ignore_columns]
    valid.require(used, f"which {train.file} has")
    return Sheets(train, valid)


def read_csv(file: Path, delimiter: str = ",") -> Sheet:
    """Read all of a file in UTF-8 whose first row names the columns; empty lines are left out.

    Raises:
        ValueError: naming the line that has too few or too many cells or broken quotes; or the file, if it
            cannot be read, is empty, without rows, not UTF-8, or has columns without a name or with the same.
    """
    lines, rows, begin = list[int](), list[list[str]](), 1
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            for row in reader:
                if row:
                    lines.append(begin)
                    rows.append([cell.strip() for cell in row])
                begin = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{file}:{begin}: {error}; cells with quotes must be closed and doubled inside"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: is not UTF-8 text (it holds the byte {error.object[error.start]:#x}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror}; correct the path") from error
    if not rows:
        raise ValueError(f"{file}: is empty; its first row must name the columns")
    names = rows[0]
    _check_names(f"{file}:{lines[0]}", names, delimiter)
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(names):
            raise ValueError(
                f"{file}:{line}: has {len(row)} cells and the header {len(names)}; the numbers must agree "
                "(cells that hold the delimiter need quotes)"
            )
    if len(rows) == 1:
        raise ValueError(f"{file}: has a header and no rows; there must be at least one")
    columns = map(list, zip(*rows[1:], strict=True))
    return Sheet(file, dict(zip(names, columns, strict=True)), lines[1:])


def targets_of(sheet: Sheet, name: str) -> list[str]:
    """The texts of the target.

    Raises:
        ValueError: naming a cell that is empty.
    """
    for row, text in enumerate(sheet.columns[name]):
        if not text:
            raise ValueError(f"{sheet.cell(row, name)}: is empty; every row must have a target")
    return sheet.columns[name]


def finite_number(text: str) -> float | None:
    """The number in a cell; None where there is none, or one that is not finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    # Python reads 1_000 as a number, which no other program does.
    return number if abs(number) <= LARGEST and "_" not in text else None


def split_rows(num_rows: int, valid_fraction: float, seed: int) -> Split:
    """A random split of two rows or more, with at least one on each side."""
    order = np.random.default_rng(seed).permutation(num_rows)
    count = min(max(1, round(valid_fraction * num_rows)), num_rows - 1)
    return np.sort(order[count:]), np.sort(order[:count])


def split_by_class(labels: np.ndarray, valid_fraction: float, seed: int) -> Split:
    """A random split of each class, with at least one row of it for training.

    Raises:
        ValueError: nothing is left for validation.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        count = min(max(1, round(valid_fraction * len(rows))), len(rows) - 1)
        parts[0].append(rows[count:])
        parts[1].append(rows[:count])
    train, valid = (np.sort(np.concatenate(chosen)) for chosen in parts)
    if not len(valid):
        raise ValueError("every class has a single sample; training and validation need at least one each")
    return train, valid


def listed(names: Sequence[str], shown: int) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _check_names(where: str, names: Sequence[str], delimiter: str) -> None:
    if "" in names:
        raise ValueError(
            f"{where}: column {names.index('') + 1} of {len(names)} has no name; give it one in the first row"
        )
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(
            f"{where}: {len(doubled)} names are duplicated, such as {doubled[0]!r}; names must differ"
        )
    if len(names) == 1:
        probably = [other for other in ",;\t|" if other != delimiter and other in names[0]]
        hint = f"; is data.delimiter {probably[0]!r}?" if probably else ""
        raise ValueError(
            f"{where}: has the one column {names[0]!r} with data.delimiter {delimiter!r}; there must be a "
            f"target and at least one other{hint}"
        )
