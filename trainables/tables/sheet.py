"""Rows of a table as texts, and where in its file each stands."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trainables.tables.missing import missing_line, spells_missing
from trainables.tables.numbers import PLAIN, Notation, hint
from trainables.tables.spelling import folded, quoted

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
    delimiter: str = ""
    """What stands between the cells of the file."""
    row_numbers: frozenset[str] = frozenset()
    """Columns that only number the rows of the file."""
    repeated: tuple[int, ...] = ()
    """Lines that were left out, as they repeat the header."""
    _numbers: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

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
                same = [known for known in self.columns if folded(known) == folded(name)]
                close = same or difflib.get_close_matches(name, self.columns, n=1)
                known = (
                    f"did you mean {quoted(close[0])}?"
                    if close
                    else f"it has {listed(list(self.columns), 10)}"
                )
                raise ValueError(f"{self.file}: has no column {name!r} ({option}); {known}")

    def present(self, name: str) -> list[str]:
        """The texts of a column that do not stand for a missing value."""
        return [text for text in self.columns[name] if text not in self.missing]

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64 [N], NaN where a cell is missing or no finite number."""
        if name not in self._numbers:
            number, missing = self.notation.number, self.missing
            found = [None if text in missing else number(text) for text in self.columns[name]]
            self._numbers[name] = np.array(found, np.float64)
        return self._numbers[name]

    def strays(self, name: str) -> list[str]:
        """The texts of a column that are neither missing nor a finite number."""
        rows = np.isnan(self.numbers(name)).nonzero()[0].tolist()
        texts = self.columns[name]
        return [texts[row] for row in rows if texts[row] not in self.missing]

    def finite(self, name: str, *, is_target: bool = False, beside: Sheet | None = None) -> np.ndarray:
        """A column of numbers: float64 [N] with NaN where one is missing.

        Args:
            beside: another sheet that is read with the same options.

        Raises:
            ValueError: naming the first cell that holds no finite number, and what reads it.
        """
        numbers = self.numbers(name)
        for row in np.isnan(numbers).nonzero()[0]:
            text = self.columns[name][row]
            if text not in self.missing:
                raise ValueError(
                    f"{self.cell(row, name)}: received {text!r}; must be a finite number; "
                    + self._remedy(name, text, is_target, beside.present(name) if beside else [])
                )
        return numbers

    def _remedy(self, name: str, text: str, is_target: bool, beside: Sequence[str]) -> str:
        """What reads a text in a column of numbers, and those beside it."""
        own, strays = self.present(name), self.strays(name)
        texts = [*own, *beside]
        if spells_missing(text):
            line = f"{missing_line(filter(spells_missing, texts), self.missing)} reads it as missing"
            if is_target:
                return f"{line} and data.missing_targets: drop leaves such rows out"
            return f"{line}, or data.text_columns the column as texts"
        others = set(strays) - {text}
        alone = [other for other in texts if other not in others]
        for read in (texts, alone):
            if known := self.hint(read):
                return known
        if len(own) > _FEW_STRAYS * len(strays):
            return "correct it, remove the row, or put it into data.missing if it stands for a missing one"
        if is_target:
            return "use task: classification for names"
        return (
            "if it stands for a missing one, put it into data.missing, if the column holds names, the column "
            "into data.text_columns"
        )

    def hint(self, texts: Collection[str]) -> str:
        """What reads these texts as numbers if they are written as such in another notation; else empty."""
        return hint(texts, self.notation, self.delimiter)


def listed(names: Sequence[str], shown: int) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
