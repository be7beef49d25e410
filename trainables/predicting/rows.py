"""Raw rows of a table as the numbers that a network was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trainables.predicting.inference import RowInputs
from trainables.tables.encoded import Columns, encode


def as_rows(given: Any, inputs: RowInputs) -> tuple[np.ndarray, bool]:
    """Encoded rows float32 [N, F], and whether one was given alone.

    Args:
        given: by column, a mapping from names to values [N], as a DataFrame is one too; or an array [N, C]
            or [C] of the raw columns in the order of `columns_of`, of objects where some are texts. A number
            is a number or a text as in the file of the training; None, NaN and texts that stood for a missing
            value there are missing.

    Raises:
        ValueError: a column is not there, or a value is none.
    """
    names = [entry["name"] for entry in inputs.columns]
    if hasattr(given, "keys") and hasattr(given, "__getitem__"):
        if lacking := [name for name in names if name not in list(given.keys())]:
            raise ValueError(f"received no column {lacking[0]!r}; there must be {', '.join(names)}")
        raw = {name: np.asarray(given[name], object) for name in names}
        alone = all(column.ndim == 0 for column in raw.values())
    else:
        array = np.asarray(given)
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
    return encode(raw_columns(columns, inputs), inputs.columns), alone


def raw_columns(columns: Mapping[str, Sequence[Any] | np.ndarray], inputs: RowInputs) -> Columns:
    """Numbers float64 [N] with NaN where one is missing, and texts [N]; raises as `as_rows`."""
    return {
        entry["name"]: (
            _numbers(entry["name"], columns[entry["name"]], inputs)
            if entry["kind"] == "number"
            else np.array([_text(value, inputs) for value in columns[entry["name"]]], np.str_)
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


def _text(value: Any, inputs: RowInputs) -> str:
    text = "" if _is_missing(value) else str(value).strip()
    return "" if text in inputs.missing else text


def wrong_cells(columns: Mapping[str, Sequence[Any]], inputs: RowInputs) -> dict[int, str]:
    """By row, its first column of numbers that holds something else."""
    found: dict[int, str] = {}
    for entry in inputs.columns:
        if entry["kind"] == "number":
            for row, value in enumerate(columns[entry["name"]]):
                if _number(value, inputs) is None:
                    found.setdefault(row, entry["name"])
    return found


def _numbers(name: str, values: Sequence[Any] | np.ndarray, inputs: RowInputs) -> np.ndarray:
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        number = _number(value, inputs)
        if number is None:
            raise ValueError(f"row {row}: {not_a_number(name, value)}")
        numbers[row] = number
    return numbers


def not_a_number(name: str, value: Any) -> str:
    """What is wrong with a cell of `wrong_cells`."""
    return f"column {name!r}: received {value!r}; must be a finite number, or missing"


def _number(value: Any, inputs: RowInputs) -> float | None:
    """NaN where it is missing, None where it is no finite number."""
    if isinstance(value, str):
        text = value.strip()
        return np.nan if text in ("", *inputs.missing) else inputs.notation.number(text)
    if _is_missing(value):
        return np.nan
    is_number = isinstance(value, float | int | np.number) and bool(np.isfinite(value))
    return float(value) if is_number else None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
