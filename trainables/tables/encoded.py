"""Rows of numbers and texts as the matrix that a network takes, by the statistics of training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Columns = Mapping[str, np.ndarray]
"""Values by name: float64 [N] with NaN where one is missing, or texts [N]."""

Encoding = list[dict[str, Any]]
"""For each used column `name` and `kind`: number with `mean`, `std` and its `Magnitude` in the training rows,
or text with `categories`."""


def encode(columns: Columns, encoding: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The rows as a matrix: float32 [N, F]."""
    return np.concatenate([_encode(columns[entry["name"]], entry) for entry in encoding], axis=1)


def num_encoded(encoding: Sequence[Mapping[str, Any]]) -> int:
    """Columns of that matrix."""
    return sum(1 if entry["kind"] == "number" else len(entry["categories"]) + 1 for entry in encoding)


def _encode(values: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    if entry["kind"] == "number":
        standardized = (values - entry["mean"]) / entry["std"]
        return np.nan_to_num(standardized, nan=0.0).astype(np.float32)[:, None]
    place = {text: number for number, text in enumerate(entry["categories"])}
    chosen = [place.get(text, len(place)) for text in values.tolist()]
    return np.eye(len(place) + 1, dtype=np.float32)[chosen]
