"""Training and validation rows of a table, encoded alike; the target is each task's own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainables.tables.encoding import HOW_TO_ENCODE, Columns, Encoding, encode, fit_encoding
from trainables.tables.options import CSVOptions
from trainables.tables.reading import Sheet, read_csv

LARGEST = float(np.finfo(np.float32).max)
"""Numbers beyond this are infinite in the model's own type."""


@dataclass(frozen=True)
class Table:
    """Encoded rows: float32 [N, F] each."""

    train: np.ndarray
    valid: np.ndarray
    encoding: Encoding
    missing: tuple[str, ...] = ()
    """Texts that stand for a missing number."""

    def preprocessing(self, how_to_read: str) -> dict[str, Any]:
        """How other rows become inputs, and outputs predictions: JSON values."""
        missing = {"missing": list(self.missing)} if self.missing else {}
        return {"how": f"{HOW_TO_ENCODE}; {how_to_read}", **missing, "columns": self.encoding}


@dataclass(frozen=True)
class Sheets:
    """The training and the validation rows of a CSV file, or of two."""

    train: Sheet
    valid: Sheet


def read_sheets(options: CSVOptions, split: Callable[[Sheet], tuple[np.ndarray, np.ndarray]]) -> Sheets:
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
            raise ValueError(f"{train.file}: has 1 row; training and validation need one each at least")
        chosen = split(train)
        return Sheets(train.take(chosen[0]), train.take(chosen[1]))
    valid = read_csv(Path(options.valid_path).expanduser(), options.delimiter)
    used = [name for name in train.columns if name not in options.ignore_columns]
    valid.require(used, f"which {train.file} has")
    return Sheets(train, valid)


def encoded_table(sheets: Sheets, options: CSVOptions) -> Table:
    """Every column but the target and the ignored ones.

    Raises:
        ValueError: naming the cell that is no number in a column of numbers, or a column that cannot be used.
    """
    names = [n for n in sheets.train.columns if n != options.target and n not in options.ignore_columns]
    missing = ("", *options.missing)
    numeric = numeric_columns(sheets.train, options)

    def columns_of(sheet: Sheet) -> Columns:
        return {
            name: _numbers_of(sheet, name, missing)
            if name in numeric
            else np.array(sheet.columns[name], np.str_)
            for name in names
        }

    train = columns_of(sheets.train)
    try:
        encoding = fit_encoding(train, options.max_categories)
    except ValueError as error:
        raise ValueError(f"{sheets.train.file}: {error}") from error
    return Table(encode(train, encoding), encode(columns_of(sheets.valid), encoding), encoding, missing)


def numeric_columns(sheet: Sheet, options: CSVOptions) -> list[str]:
    """Columns besides the target of which most cells are numbers."""
    left_out = {options.target, *options.ignore_columns, *options.text_columns}
    missing = ("", *options.missing)
    return [n for n, texts in sheet.columns.items() if n not in left_out and _is_numeric(texts, missing)]


def plain_table(rows: np.ndarray, names: Sequence[str], train: np.ndarray, valid: np.ndarray) -> Table:
    """Rows of numbers [N, C] that are in memory, of which `train` and `valid` are chosen."""
    by_name = dict(zip(names, rows.astype(np.float64).T, strict=True))
    of_train, of_valid = ({n: column[chosen] for n, column in by_name.items()} for chosen in (train, valid))
    encoding = fit_encoding(of_train, 0)
    return Table(encode(of_train, encoding), encode(of_valid, encoding), encoding)


def targets_of(sheet: Sheet, name: str) -> list[str]:
    """The texts of the target.

    Raises:
        ValueError: naming a cell that is empty.
    """
    for row, text in enumerate(sheet.columns[name]):
        if not text:
            raise ValueError(f"{sheet.cell(row, name)}: is empty; every row must have a target")
    return sheet.columns[name]


def number_at(sheet: Sheet, row: int, name: str, remedy: str) -> float:
    """The number in a cell.

    Raises:
        ValueError: naming the cell that holds none, or one that is not finite.
    """
    text = sheet.columns[name][row]
    number = finite_number(text)
    if number is None:
        raise ValueError(f"{sheet.cell(row, name)}: received {text!r}; must be a finite number{remedy}")
    return number


def _numbers_of(sheet: Sheet, name: str, missing: Collection[str]) -> np.ndarray:
    remedy = (
        "; if it stands for a missing one, put it into data.missing, if the column holds names, the column "
    )
    remedy += "into data.text_columns"
    return np.array(
        [
            np.nan if text in missing else number_at(sheet, row, name, remedy)
            for row, text in enumerate(sheet.columns[name])
        ],
        np.float64,
    )


def _is_numeric(texts: Sequence[str], missing: Collection[str]) -> bool:
    """Whether most of the cells that are there hold numbers; also if none is there."""
    there = [text for text in texts if text not in missing]
    return 2 * sum(finite_number(text) is not None for text in there) > len(there) or not there


def finite_number(text: str) -> float | None:
    """The number that a cell holds; None where it holds none, or one that is not finite."""
    try:
        number = float(text)
    except ValueError:
        return None
    # Python reads 1_000 as a number, which no other program does.
    return number if abs(number) <= LARGEST and "_" not in text else None
