"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_CLASSES = 30
"""Rows and columns; of more classes those with the most errors are shown, the rest together."""
LONGEST_NAME = 24
"""Characters of a class's name that are shown."""
CELL = 0.44
"""Side of a cell in inches, at 100 pixels an inch."""
RIGHT, WRONG = (8, 81, 156), (165, 15, 21)
"""Blue of the diagonal and red beside it, where all samples of a row are."""


def confusion_picture(confusion: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Rows the truth, columns the prediction; numbers are samples, colours their share of the row.

    Args:
        confusion: int64 [K, K].
        class_names: K names.

    Returns:
        uint8 [H, W, 3].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    confusion, names = _fewer(confusion, list(class_names))
    names = [name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in names]
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    colours = np.where(np.eye(len(names), dtype=bool)[..., None], RIGHT, WRONG) / 255.0
    side = 1.0 + CELL * len(names)
    figure = Figure(figsize=(side, side), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    # By the square root, so that even a small share is visible.
    axes.imshow(1.0 - np.sqrt(shares)[..., None] * (1.0 - colours))
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_xticks(range(len(names)), labels=names, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), labels=names, parse_math=False)
    for row, column in zip(*confusion.nonzero(), strict=True):
        shade = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, _shown(confusion[row, column]), ha="center", va="center", color=shade)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _shown(count: int) -> str:
    """At most four characters, to fit into a cell."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= 10 * size:
            return f"{count // size}{unit}"
    return str(count)


def _fewer(confusion: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """With more classes than can be read, those with the most errors and all others together."""
    if len(names) <= MOST_CLASSES:
        return confusion, names
    errors = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
    kept = np.sort(np.argsort(-errors, kind="stable")[: MOST_CLASSES - 1])
    group = np.full(len(names), len(kept))
    group[kept] = np.arange(len(kept))
    fewer = np.zeros((MOST_CLASSES, MOST_CLASSES), np.int64)
    np.add.at(fewer, (group[:, None], group[None, :]), confusion)
    return fewer, [*(names[number] for number in kept), f"{len(names) - len(kept)} others"]
