"""Rows of a table as texts, and where in its file each stands."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainables.tables.numbers import PLAIN, Notation, hint

_FEW_STRAYS = 10
"""A column is of numbers if it has this many for each text that is none."""


@dataclass(frozen=True)
class Sheet:
    """What a CSV file holds, as texts without surrounding spaces.

    `columns` has as many texts in each column as `lines`, which says where in the file each row begins.
    """

    file: Path
    columns: dict[str, list[str]]
    lines: list[int]
    notation: Notation = PLAIN
    missing: frozenset[str] = frozenset({""})
    """Texts that stand for a missing value."""
    dropped: tuple[int, ...] = ()
    """Lines of rows that were left out, as they have no target."""

    def __len__(self) -> int:
        return len(self.lines)

    def cell(self, row: int, name: str) -> str:
        """Where a cell is, for messages."""
        return f"{self.file}:{self.lines[row]}: column {name!r}"

    def take(self, rows: np.ndarray) -> Sheet:
        """These rows of it, in this order."""
        columns = {name: [texts[row] for row in rows] for name, texts in self.columns.items()}
        return replace(self, columns=columns, lines=[self.lines[row] for row in rows])

    def require(self, names: Iterable[str], option: str) -> None:
        """Refuse a name that no column has.

        Raises:
            ValueError: with the nearest name.
        """
        for name in names:
            if name not in self.columns:
                same = [known for known in self.columns if known.lower() == name.lower()]
                close = same or difflib.get_close_matches(name, self.columns, n=1)
                known = f"did you mean {close[0]!r}?" if close else f"it has {listed(list(self.columns), 10)}"
                raise ValueError(f"{self.file}: has no column {name!r} ({option}); {known}")

    def present(self, name: str) -> list[str]:
        """The texts of a column that do not stand for a missing value."""
        return [text for text in self.columns[name] if text not in self.missing]

    def number(self, row: int, name: str, remedy: str) -> float:
        """The number in a cell.

        Raises:
            ValueError: naming the cell that holds none, or one that is not finite, and what reads it if other
                texts of its column are written alike.
        """
        text = self.columns[name][row]
        number = self.notation.number(text)
        if number is None:
            texts = self.present(name)
            strays = sum(self.notation.number(other) is None for other in texts)
            if len(texts) > _FEW_STRAYS * strays:
                remedy = (
                    "correct it, remove the row, or put it into data.missing if it stands for a missing one"
                )
            remedy = self.hint(texts) or self.hint([text]) or remedy
            raise ValueError(f"{self.cell(row, name)}: received {text!r}; must be a finite number; {remedy}")
        return number

    def hint(self, texts: Collection[str]) -> str:
        """What reads these texts as numbers if they are written as such in another notation; else empty."""
        return hint(texts, self.notation)


def listed(names: Sequence[str], shown: int) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
