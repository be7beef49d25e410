"""A CSV file, or two, as training and validation rows of texts."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trainables.data.fingerprint import Fingerprint, of_files
from trainables.folds.assign import Folds, fold_fingerprint, fold_notes, make_folds
from trainables.tables.csv_file import read_csv
from trainables.tables.options import CSVOptions
from trainables.tables.sheet import Sheet

Split = tuple[np.ndarray, np.ndarray]
"""Row numbers of training and of validation, each sorted: int64."""


class Sheets(NamedTuple):
    """The rows of a CSV file, or of two."""

    train: Sheet
    valid: Sheet


def read_sheets(options: CSVOptions, split: Callable[[Sheet], Split]) -> Sheets:
    """Read the file, or both files.

    Args:
        split: which rows of one file are for training and which for validation, where there are no folds.

    Raises:
        ValueError: as `read_csv` does, or if a column that the options name or validation needs is missing.
    """
    train = _read(options.path, options)
    train.require(options.ignore_columns, "data.ignore_columns")
    train.require(options.text_columns, "data.text_columns")
    train.require(options.keep_columns, "data.keep_columns")
    train.require([options.group] if options.group else [], "data.group")
    if options.target in options.ignore_columns:
        raise ValueError(
            f"data.ignore_columns holds the target {options.target!r}; it must hold other columns"
        )
    if options.valid_path is None:
        if len(train) < 2:
            raise ValueError(f"{train.file}: has 1 row; training and validation need at least one each")
        if options.folds is not None:
            return _in_folds(train, options)
        return Sheets(*map(train.take, split(train)))
    valid = _read(options.valid_path, options)
    valid.require(input_names(train, options), f"which {train.file} has")
    return Sheets(train, valid)


def table_fingerprint(options: CSVOptions) -> Fingerprint:
    """The contents of the file, or of both files."""
    if options.folds is not None:
        whats = {"table": options.path}
    elif options.valid_path is None:
        whats = {"table, whose rows are split anew when it changes": options.path}
    else:
        whats = {"training table": options.path, "validation table": options.valid_path}
    found = fold_fingerprint(options)
    for what, path in whats.items():
        file = Path(path).expanduser()
        found |= of_files({what: [file]}, file.parent, contents=True)
    return found


def _read(path: str, options: CSVOptions) -> Sheet:
    """The rows of a file, without those that have no target if they are to be dropped."""
    sheet = read_csv(Path(os.path.expanduser(path)), options)
    sheet.require([options.target], "data.target")
    if options.missing_targets == "error":
        return sheet
    has_target = np.array([text not in sheet.missing for text in sheet.columns[options.target]])
    if not has_target.any():
        raise ValueError(f"{sheet.file}: column {options.target!r} is empty; rows must have a target")
    dropped = tuple(np.array(sheet.lines)[~has_target].tolist())
    return replace(sheet.take(has_target.nonzero()[0]), dropped=dropped)


def _in_folds(sheet: Sheet, options: CSVOptions) -> Sheets:
    folds = folds_of_rows(sheet, options)
    return Sheets(sheet.take(folds.train), sheet.take(folds.valid))


def folds_of_rows(sheet: Sheet, options: CSVOptions) -> Folds:
    """The fold of each row, by its group, or by what its cells hold: rows of equal inputs are in one fold.

    Raises:
        ValueError: a fold is empty, or a row has no group.
    """
    left_out = {options.target, *sheet.row_numbers}
    cells = [texts for name, texts in sheet.columns.items() if name not in left_out]
    rows = zip(*cells, strict=True)
    return make_folds(options, ["\0".join(row) for row in rows], str(sheet.file), _groups(sheet, options))


def notes_on_folds(sheets: Sheets, options: CSVOptions, *, of_classes: bool) -> list[str]:
    """What the folds of both parts together are; nothing without folds."""
    if options.folds is None:
        return []
    whole = joined(sheets)
    classes = whole.columns[options.target] if of_classes else None
    return list(fold_notes(folds_of_rows(whole, options), str(whole.file), classes))


def named_by(sheets: Sheets, options: CSVOptions) -> Sheet:
    """The rows whose targets are the classes: those of training, with folds all: each has the same."""
    return sheets.train if options.folds is None else joined(sheets)


def joined(sheets: Sheets) -> Sheet:
    """The rows of training, and after them those of validation."""
    train, valid = sheets
    columns = {name: [*texts, *valid.columns[name]] for name, texts in train.columns.items()}
    return replace(train, columns=columns, lines=[*train.lines, *valid.lines])


def _groups(sheet: Sheet, options: CSVOptions) -> list[str] | None:
    if options.group is None:
        return None
    for row, text in enumerate(sheet.columns[options.group]):
        if text in sheet.missing:
            raise ValueError(
                f"{sheet.cell(row, options.group)}: is {repr(text) if text else 'empty'}; every row must "
                "have a group (data.group): fill it in, or remove the row"
            )
    return sheet.columns[options.group]


def input_names(sheet: Sheet, options: CSVOptions) -> list[str]:
    """Columns but for the target, the group, the ignored ones and those that only number the rows."""
    left_out = {options.target, options.group, *options.ignore_columns, *sheet.row_numbers}
    return [name for name in sheet.columns if name not in left_out]


def check_targets(sheet: Sheet, name: str, *, of_classes: bool) -> None:
    """Refuse a row without a target.

    Raises:
        ValueError: naming a cell that is empty or stands for a missing value.
    """
    for row, text in enumerate(sheet.columns[name]):
        if text in sheet.missing:
            why = f"is {text!r}, which data.missing holds" if text else "is empty"
            way_out = "data.missing_targets: drop leaves such rows out"
            if text and of_classes:
                way_out += ", and data.missing: [] makes a class of it"
            raise ValueError(f"{sheet.cell(row, name)}: {why}; every row must have a target: {way_out}")


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
