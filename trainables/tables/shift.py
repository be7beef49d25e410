"""What a second file holds for validation and the training rows do not: other texts, other units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from trainables.findings import some
from trainables.tables.magnitude import Magnitude, other_magnitude
from trainables.tables.missing import option_line
from trainables.tables.read import Sheets
from trainables.tables.spelling import folded, quoted

SHOWN = 3
_ENOUGH = 5
"""Rows of each part, with fewer of which nothing is told of numbers."""


class Shift(NamedTuple):
    """What differs in a column."""

    message: str
    is_error: bool = False
    """Whether it is surely a mistake."""


def text_shift(name: str, sheets: Sheets) -> Shift | None:
    """Texts that no training row has; an error if none agrees, or if training writes them in another way."""
    known, present = set(sheets.train.present(name)), sheets.valid.present(name)
    unknown = Counter(text for text in present if text not in known)
    varies = len(known) > 1 or len(sheets.train.present(name)) < len(sheets.train)
    if not unknown or not known or not varies:
        return None
    texts = some(map(repr, unknown), SHOWN)
    message = (
        f"column {name!r}: {unknown.total()} of {len(sheets.valid)} validation rows "
        f"({unknown.total() / len(sheets.valid):.0%}) hold texts that no training row does ({texts})"
    )
    if pair := respelled(unknown, known):
        return Shift(
            f"{message}; training has {quoted(pair[1])} for {quoted(pair[0])}: write them in one way", True
        )
    if unknown.total() == len(present):
        seen = some(map(repr, sorted(known)), SHOWN)
        line = option_line("ignore_columns", [name])
        return Shift(f"{message}, which has {seen}: correct them, or leave the column out: {line}", True)
    return Shift(f"{message}; they count as `any other`, from which nothing was learned")


def respelled(unknown: Collection[str], known: Collection[str]) -> tuple[str, str] | None:
    """A text and the one that it is for people, unless such differences mean something among the known."""
    by_spelling = {folded(text, letters=True): text for text in known}
    if len(by_spelling) < len(known):
        return None
    for text in unknown:
        if other := by_spelling.get(folded(text, letters=True)):
            return text, other
    return None


def number_shift(name: str, sheets: Sheets) -> Shift | None:
    """Numbers of another magnitude than in training, or in another range."""
    train, valid = (numbers[~np.isnan(numbers)] for numbers in (s.numbers(name) for s in sheets))
    if min(len(train), len(valid)) < _ENOUGH:
        return None
    of_training = Magnitude.of(train)
    found = other_magnitude(valid, of_training)
    ranges = f"{Magnitude.of(valid)} in validation and {of_training} in training"
    return Shift(f"column {name!r}: {ranges}; {found}") if found else None
