"""Raw rows of a table as the numbers that a network was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainables.predicting.inference import RowInputs
from trainables.tables.encoded import Columns, encode
from trainables.tables.magnitude import Magnitude, other_magnitude
from trainables.tables.numbers import LARGEST, PLAIN


def as_rows(given: Any, inputs: RowInputs) -> tuple[np.ndarray, bool]:
    """Encoded rows float32 [N, F], and whether one was given alone.

    Args:
        given: by column, a mapping from names to values [N], as a DataFrame is one too; or a list or array
            [N, C] or [C] of the raw columns in the order of `inputs.columns`, of objects where some are
            texts. A number is a number or a text as in the file of the training; None, NaN and what stood
            for a missing value there are missing. Numbers and booleans in a column of texts are the one text
            of the training that says the same, such as `true`, 0202 or 202; without one they are unknown.

    Warns:
        UserWarning: a text is of no training row, see `unknown_texts`; or numbers are of another magnitude.

    Raises:
        ValueError: a column is not there, a value is none, or there is no row.
    """
    names = [entry["name"] for entry in inputs.columns]
    if hasattr(given, "keys") and hasattr(given, "__getitem__"):
        if lacking := [name for name in names if name not in list(given.keys())]:
            raise ValueError(f"received no column {lacking[0]!r}; there must be {', '.join(names)}")
        raw = {name: np.asarray(given[name], object) for name in names}
        alone = all(column.ndim == 0 for column in raw.values())
    else:
        array = _as_array(given, inputs)
        if array.ndim not in (1, 2) or array.shape[-1] != len(names):
            raise ValueError(
                f"received an array {list(array.shape)}; rows must be [N, {len(names)}], with the columns "
                f"{', '.join(names)}, or a mapping from their names to values"
            )
        raw, alone = dict(zip(names, array.T.astype(object), strict=True)), array.ndim == 1
    columns = {name: np.atleast_1d(column) for name, column in raw.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or any(column.ndim != 1 for column in columns.values()):
        held = ", ".join(f"{name} {list(column.shape)}" for name, column in columns.items())
        raise ValueError(f"received columns of other lengths: {held}; each must be [N]")
    if lengths == {0}:
        raise ValueError("received no rows; give one or more")
    found = raw_columns(columns, inputs)
    for note in notes_on_columns(found, inputs).values():
        warnings.warn(note, stacklevel=4)  # where predict() is called
    return encode(found, inputs.columns), alone


def _as_array(given: Any, inputs: RowInputs) -> np.ndarray:
    """Rows as they are: NumPy alone would make texts of all numbers that are beside a text."""
    if isinstance(given, list | tuple):
        try:
            array = np.array([list(row) if isinstance(row, np.ndarray) else row for row in given], object)
        except ValueError as error:
            raise ValueError("received rows of other lengths; each must have the same columns") from error
        if array.ndim == 1 and any(isinstance(value, list | tuple | np.ndarray) for value in array):
            raise ValueError("received rows of other lengths; each must have the same columns")
        return array
    array = np.asarray(given)
    if array.dtype.kind in "SU" and inputs.notation != PLAIN:
        raise ValueError(
            f"received an array of texts, where NumPy writes the number 1.5 as '1.5', and the training file "
            f"has other numbers ({inputs.notation.lines}): give np.array(rows, dtype=object)"
        )
    return array


def raw_columns(columns: Mapping[str, Sequence[Any] | np.ndarray], inputs: RowInputs) -> Columns:
    """Numbers float64 [N] with NaN where one is missing, and texts [N]; raises as `as_rows`."""
    return {
        entry["name"]: (
            _numbers(entry, columns[entry["name"]], inputs)
            if entry["kind"] == "number"
            else np.array([_text(value, entry, inputs) for value in columns[entry["name"]]], np.str_)
        )
        for entry in inputs.columns
    }


def unknown_texts(columns: Columns, inputs: RowInputs) -> dict[str, list[str]]:
    """Texts by column that no training row has; the network takes all of these as one, which it never saw."""
    found = {
        entry["name"]: sorted(set(columns[entry["name"]].tolist()) - set(entry["categories"]))
        for entry in inputs.columns
        if entry["kind"] == "text"
    }
    return {name: texts for name, texts in found.items() if texts}


def notes_on_columns(columns: Columns, inputs: RowInputs) -> dict[str, str]:
    """By column, what is unlike the training: texts that are unknown, numbers in other units."""
    unknown = {
        name: f"column {name!r} holds texts that no training row has, such as {texts[0]!r}: the model takes "
        "them all for one that it never saw"
        for name, texts in unknown_texts(columns, inputs).items()
    }
    return unknown | _notes_on_magnitude(columns, inputs)


def _notes_on_magnitude(columns: Columns, inputs: RowInputs) -> dict[str, str]:
    notes = {}
    for entry in inputs.columns:
        training = Magnitude.recorded(entry)
        if training is None:
            continue
        numbers = columns[entry["name"]]
        numbers = numbers[~np.isnan(numbers)]
        if found := other_magnitude(numbers, training):
            ranges = f"{Magnitude.of(numbers)} here and {training} in training"
            notes[entry["name"]] = f"column {entry['name']!r}: {ranges}; {found}"
    return notes


def _text(value: Any, entry: Mapping[str, Any], inputs: RowInputs) -> str:
    if isinstance(value, str):
        text = value.strip()
        return "" if text in inputs.missing else text
    if _is_missing(value, inputs):
        return ""
    text = str(value)
    if text in entry["categories"]:
        return text
    if isinstance(value, bool | np.bool_):
        same = [each for each in entry["categories"] if each.casefold() == text.casefold()]
    elif isinstance(value, float | int | np.number):
        same = [each for each in entry["categories"] if inputs.notation.number(each) == value]
    else:
        same = []
    return same[0] if len(same) == 1 else text


def wrong_cells(columns: Mapping[str, Sequence[Any]], inputs: RowInputs) -> dict[int, str]:
    """By row, its first column of numbers that holds something else."""
    found: dict[int, str] = {}
    for entry in inputs.columns:
        if entry["kind"] == "number":
            for row, value in enumerate(columns[entry["name"]]):
                if _number(value, entry, inputs) is None:
                    found.setdefault(row, entry["name"])
    return found


def _numbers(entry: Mapping[str, Any], values: Sequence[Any] | np.ndarray, inputs: RowInputs) -> np.ndarray:
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        number = _number(value, entry, inputs)
        if number is None:
            raise ValueError(f"row {row}: {not_a_number(entry['name'], value)}")
        numbers[row] = number
    return numbers


def not_a_number(name: str, value: Any) -> str:
    """What is wrong with a cell of `wrong_cells`."""
    return f"column {name!r}: received {value!r}; must be a finite number, or missing"


def _number(value: Any, entry: Mapping[str, Any], inputs: RowInputs) -> float | None:
    """NaN where it is missing, None where it is no number, or one that is infinite for the network."""
    if isinstance(value, str):
        text = value.strip()
        number = np.nan if text in ("", *inputs.missing) else inputs.notation.number(text)
    elif _is_missing(value, inputs):
        number = np.nan
    else:
        number = float(value) if isinstance(value, float | int | np.number) else None
    if number is None or np.isnan(number):
        return number
    return number if abs((number - entry["mean"]) / entry["std"]) <= LARGEST else None


def _is_missing(value: Any, inputs: RowInputs) -> bool:
    """Whether it is None, NaN, NA or NaT of pandas, or a number that stood for a missing one (-999)."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, bool | np.bool_) or not isinstance(value, float | int | np.number):
        return False
    return bool(np.isnan(value)) or float(value) in inputs.missing_numbers
