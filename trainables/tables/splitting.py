"""Which rows are for validation: a pure function of their number, their classes and a seed."""

from __future__ import annotations

import numpy as np


def split_rows(num_rows: int, valid_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of training and validation, each sorted and with one at least; there must be two."""
    order = np.random.default_rng(seed).permutation(num_rows)
    count = min(max(1, round(valid_fraction * num_rows)), num_rows - 1)
    return np.sort(order[count:]), np.sort(order[:count])


def split_by_class(labels: np.ndarray, valid_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `split_rows`, but of each class its share (to the nearest row, and one for training at least).

    Raises:
        ValueError: if that leaves nothing for validation.
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
        raise ValueError("every class has a single sample; training and validation need one each at least")
    return train, valid
