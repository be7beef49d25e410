"""A CSV file as columns of texts, or an error that names the line."""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHOWN = 10
"""Names that one message lists."""
OTHER_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Sheet:
    """What a CSV file holds, as texts without surrounding spaces.

    `columns` has as many texts in each column as `lines`, which says where in the file each row begins.
    """

    file: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def cell(self, row: int, name: str) -> str:
        """Where a cell is, for messages."""
        return f"{self.file}:{self.lines[row]}: column {name!r}"

    def take(self, rows: np.ndarray) -> Sheet:
        """These rows of it, in this order."""
        columns = {name: [texts[row] for row in rows] for name, texts in self.columns.items()}
        return Sheet(self.file, columns, [self.lines[row] for row in rows])

    def require(self, names: Iterable[str], option: str) -> None:
        """Refuse a name that no column has.

        Raises:
            ValueError: with the nearest name.
        """
        for name in names:
            if name not in self.columns:
                raise ValueError(
                    f"{self.file}: has no column {name!r} ({option}); {_nearest(name, self.columns)}"
                )


def read_csv(file: Path, delimiter: str = ",") -> Sheet:
    """Read all of a file in UTF-8 whose first row names the columns; empty lines are left out.

    Raises:
        ValueError: naming the line that has too few or too many cells or broken quotes; or the file, if it is
            not there, empty, without rows, not UTF-8, or has columns without a name or with the same one.
    """
    if not file.is_file():  # A named pipe would be waited for without end.
        raise ValueError(f"{file}: is no regular file" if file.exists() else f"{file}: there is no such file")
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            rows = _rows(file, text, delimiter)
            _, names = next(rows, (0, []))
            _check_names(file, names, delimiter)
            lines, cells = [], []
            for line, row in rows:
                _check_length(file, line, row, names)
                lines.append(line)
                cells.append(row)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file}: is not UTF-8 text (it holds the byte {error.object[error.start]:#x}); save it as UTF-8"
        ) from error
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror}") from error
    if not lines:
        raise ValueError(f"{file}: has a header and no rows; there must be one at least")
    columns = [[text.strip() for text in column] for column in zip(*cells, strict=True)]
    return Sheet(file, dict(zip(names, columns, strict=True)), lines)


def _rows(file: Path, text: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row and the line on which it begins; a cell in quotes may run over several lines."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    begin = 1
    try:
        for row in reader:
            if row:
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{file}:{begin}: {error}; cells with quotes must be closed and doubled inside"
        ) from error


def _check_names(file: Path, names: list[str], delimiter: str) -> None:
    names[:] = [name.strip() for name in names]
    if not names:
        raise ValueError(f"{file}: is empty; its first row must name the columns")
    nameless = [number for number, name in enumerate(names, start=1) if not name]
    if nameless:
        raise ValueError(
            f"{file}:1: column {nameless[0]} of {len(names)} has no name; give it one in the first row"
        )
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(f"{file}:1: {len(doubled)} names stand twice, as {doubled[0]!r}; names must differ")
    if len(names) == 1:
        probably = [other for other in OTHER_DELIMITERS if other != delimiter and other in names[0]]
        hint = f"; is data.delimiter {probably[0]!r}?" if probably else ""
        raise ValueError(
            f"{file}:1: has the one column {names[0]!r} with data.delimiter {delimiter!r}; there must be a "
            f"target and another one at least{hint}"
        )


def _check_length(file: Path, line: int, row: Sequence[str], names: Sequence[str]) -> None:
    if len(row) != len(names):
        raise ValueError(
            f"{file}:{line}: has {len(row)} cells and the header {len(names)}; they must be equally many "
            "(cells that hold the delimiter need quotes)"
        )


def _nearest(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6) or [
        other for other in names if other.lower() == name.lower()
    ]
    if close:
        return f"did you mean {close[0]!r}?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"it has {', '.join(names[:SHOWN])}{more}"
