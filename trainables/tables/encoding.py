"""Columns of numbers and texts as one matrix, by statistics of the training rows that are plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Columns = Mapping[str, np.ndarray]
"""Values by name: float64 [N] with NaN where one is missing, or texts [N]."""

Encoding = list[dict[str, Any]]
"""For each used column `name` and `kind`: number with `mean` and `std`, or text with `categories`."""

HOW_TO_ENCODE = (
    "for each entry of `columns`, in order, a number is (value - mean) / std, or 0 where it is missing; a "
    "text is one number for each of its `categories`, 1 for its own and else 0, and one more, 1 for any other"
)


def fit_encoding(columns: Columns, max_categories: int) -> Encoding:
    """Statistics of the training rows; columns without variation are left out.

    The deviation is that of all rows (divided by N).

    Raises:
        ValueError: for a column with too many different texts, or if no column is left.
    """
    found = [_fit(name, values, max_categories) for name, values in columns.items()]
    encoding = [entry for entry in found if entry is not None]
    if not encoding:
        names = ", ".join(columns) or "none"
        raise ValueError(f"no column varies in the training rows ({names}); one must, to learn from")
    return encoding


def encode(columns: Columns, encoding: Encoding) -> np.ndarray:
    """float32 [N, F]."""
    return np.concatenate([_encode(columns[entry["name"]], entry) for entry in encoding], axis=1)


def num_features(encoding: Encoding) -> int:
    """F of `encode`."""
    return sum(len(entry["categories"]) + 1 if entry["kind"] == "text" else 1 for entry in encoding)


def mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Of float64 [N] without NaN; a deviation that is rounding alone is 0."""
    mean, std = float(values.mean()), float(values.std())
    return mean, std if std > 1e-12 * max(1.0, abs(mean)) else 0.0


def _fit(name: str, values: np.ndarray, max_categories: int) -> dict[str, Any] | None:
    if values.dtype == np.float64:
        known = values[~np.isnan(values)]
        mean, std = mean_and_std(known) if len(known) else (0.0, 0.0)
        return {"name": name, "kind": "number", "mean": mean, "std": std} if std else None
    categories = np.unique(values).tolist()
    if len(categories) > max_categories:
        raise ValueError(
            f"column {name!r} holds {len(categories)} different texts, as {categories[-1]!r}, and "
            f"data.max_categories is {max_categories}; put it into data.ignore_columns, or raise the limit"
        )
    return {"name": name, "kind": "text", "categories": categories} if len(categories) > 1 else None


def _encode(values: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    if entry["kind"] == "number":
        standardized = (values - entry["mean"]) / entry["std"]
        return np.nan_to_num(standardized, nan=0.0).astype(np.float32)[:, None]
    known: Sequence[str] = entry["categories"]
    place = {text: number for number, text in enumerate(known)}
    hot = np.zeros((len(values), len(known) + 1), np.float32)
    hot[np.arange(len(values)), [place.get(str(text), len(known)) for text in values]] = 1.0
    return hot
