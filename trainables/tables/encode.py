"""Columns of numbers and texts as one matrix, by statistics of the training rows that are plain JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.tables.encoded import Columns, Encoding, encode
from trainables.tables.magnitude import Magnitude
from trainables.tables.missing import option_line, spells_missing
from trainables.tables.numbers import are_dates
from trainables.tables.options import CSVOptions
from trainables.tables.read import Sheets, Split, input_names
from trainables.tables.sheet import Sheet
from trainables.tables.shift import text_shift

HOW_TO_ENCODE = (
    "for each entry of `columns`, in order, a number is (value - mean) / std, or 0 where it is missing; a "
    "text is one number for each of its `categories`, 1 for its own and else 0, and one more, 1 for any "
    "other; a missing text is the empty one"
)

_FEW = 10
"""Categories that are never too many for the rows."""


@dataclass(frozen=True)
class Table:
    """Encoded rows: float32 [N, F] each."""

    train: np.ndarray
    valid: np.ndarray
    encoding: Encoding
    options: CSVOptions | None = None
    """How the texts of its file were read."""

    def preprocessing(self, how_to_read: str) -> dict[str, Any]:
        """How other rows become inputs, and outputs predictions: JSON values."""
        options = self.options
        reading: dict[str, Any] = {}
        if options is not None:
            reading = options.model_dump(include={"decimal", "thousands"})
            reading["missing"] = ["", *options.missing]
        return {"how": f"{HOW_TO_ENCODE}; {how_to_read}", **reading, "columns": self.encoding}


def encoded_table(sheets: Sheets, options: CSVOptions) -> Table:
    """Every column but the target, the ignored ones and those that only number the rows.

    Raises:
        ValueError: naming the cell that is no number in a column of numbers, or a column that cannot be used.
    """
    names, numeric = input_names(sheets.train, options), numeric_columns(sheets.train, options)
    problems = column_problems(sheets, options)
    if problems:
        raise ValueError(f"{sheets.train.file}: {next(iter(problems.values()))}")

    def columns_of(sheet: Sheet, beside: Sheet) -> Columns:
        columns = {name: _texts(sheet, name) for name in names}
        return columns | {name: sheet.finite(name, beside=beside) for name in numeric}

    train, valid = columns_of(*sheets), columns_of(*reversed(sheets))
    try:
        encoding = fit_encoding(train)
    except ValueError as error:
        keep = option_line("keep_columns", sheets.train.row_numbers)
        what = f"; {keep} makes inputs of what numbers the rows" if sheets.train.row_numbers else ""
        raise ValueError(f"{sheets.train.file}: {error}{what}") from error
    return Table(encode(train, encoding), encode(valid, encoding), encoding, options)


def plain_table(rows: np.ndarray, names: Sequence[str], split: Split) -> Table:
    """Rows of numbers [N, C] that are in memory."""
    columns = dict(zip(names, rows.astype(np.float64).T, strict=True))
    train, valid = ({name: column[part] for name, column in columns.items()} for part in split)
    encoding = fit_encoding(train)
    return Table(encode(train, encoding), encode(valid, encoding), encoding)


def numeric_columns(sheet: Sheet, options: CSVOptions) -> list[str]:
    """Columns besides the target of which most cells that hold something are numbers, or none holds any.

    A text that usually stands for a missing value counts as nothing, also where data.missing lacks it.
    """
    numeric = []
    for name in input_names(sheet, options):
        strays = sheet.strays(name)
        num_numbers = int(np.isfinite(sheet.numbers(name)).sum())
        num_texts = sum(not spells_missing(text) for text in strays)
        is_empty = not num_numbers and not strays
        if name not in options.text_columns and (num_numbers > num_texts or is_empty):
            numeric.append(name)
    return numeric


def column_problems(sheets: Sheets, options: CSVOptions) -> dict[str, str]:
    """What is wrong with columns of texts, by name.

    Numbers in another notation, names of the rows, or other texts in validation than in training.
    """
    numeric = numeric_columns(sheets.train, options)
    texts = [name for name in input_names(sheets.train, options) if name not in numeric]
    found = {name: _problem(name, sheets, options) for name in texts}
    return {name: problem for name, problem in found.items() if problem}


def notation_problems(sheets: Sheets, names: Sequence[str]) -> Iterator[str]:
    """What reads columns of numbers, or a target, in which some are written in another notation."""
    for name in names:
        texts = [text for sheet in sheets for text in sheet.present(name)]
        if any(sheet.strays(name) for sheet in sheets) and (known := sheets.train.hint(texts)):
            yield f"column {name!r} must be numbers; {known}"


def fit_encoding(columns: Columns) -> Encoding:
    """Statistics of the training rows; columns without variation are left out.

    The deviation is that of all rows (divided by N).

    Raises:
        ValueError: no column is left.
    """
    found = [fit_column(name, values) for name, values in columns.items()]
    encoding = [entry for entry in found if entry is not None]
    if not encoding:
        names = ", ".join(columns) or "none"
        raise ValueError(f"no column varies in the training rows ({names}); one must, to learn from")
    return encoding


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of float64 [N] without NaN; a deviation that is rounding alone is 0."""
    mean, std = float(values.mean()), float(values.std())
    return mean, std if std > 1e-12 * max(1.0, abs(mean)) else 0.0


def _texts(sheet: Sheet, name: str) -> np.ndarray:
    """The column with one text, the empty one, for all that stand for a missing value."""
    return np.array(["" if text in sheet.missing else text for text in sheet.columns[name]])


def _problem(name: str, sheets: Sheets, options: CSVOptions) -> str:
    texts = sheets.train.present(name)
    remedy = "" if name in options.text_columns else sheets.train.hint(texts)
    if remedy:
        return (
            f"column {name!r} must be numbers or texts; {remedy}, and data.text_columns takes them as texts"
        )
    categories = sorted(set(texts))
    if limit := category_limit(len(categories), len(texts), options):
        what, way_out = "distinct texts", ""
        if are_dates(categories):
            what, way_out = "dates or times", "write them as numbers, such as days since the first, "
        return (
            f"column {name!r} holds {len(categories)} {what} in {len(texts)} rows, such as "
            f"{categories[-1]!r}, and {limit}; {way_out}put it into data.ignore_columns, or raise the limit"
        )
    shift = text_shift(name, sheets) if options.valid_path else None
    return shift.message if shift and shift.is_error else ""


def category_limit(num_texts: int, num_rows: int, options: CSVOptions) -> str:
    """The option that refuses so many different texts in a column; else empty."""
    if num_texts > options.max_categories:
        return f"data.max_categories is {options.max_categories}"
    if num_texts > max(_FEW, options.max_category_share * num_rows):
        return f"data.max_category_share is {options.max_category_share:g}"
    return ""


def fit_column(name: str, values: np.ndarray) -> dict[str, Any] | None:
    """The statistics of float64 [N] with NaN, or texts [N]; None for a column without variation."""
    if values.dtype == np.float64:
        known = values[~np.isnan(values)]
        mean, std = mean_and_std(known) if len(known) else (0.0, 0.0)
        if not std:
            return None
        size = Magnitude.of(known)._asdict()
        return {"name": name, "kind": "number", "mean": mean, "std": std, **size}
    categories = np.unique(values).tolist()
    return {"name": name, "kind": "text", "categories": categories} if len(categories) > 1 else None
