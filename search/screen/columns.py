"""Tables as plain text, as wide as a terminal: what does not fit is left out, and nothing is wrapped."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

from rich.cells import cell_len, set_cell_size

from search.text import printable

_GAP = "  "


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    title: str
    cells: Sequence[str]
    right: bool = False
    """Numbers stand at the right."""

    @property
    def width(self) -> int:
        return max(map(cell_len, self.lines))

    @property
    def lines(self) -> list[str]:
        """The title and the cells, each on one line."""
        return [printable(text) for text in (self.title, *self.cells)]


def terminal_width(out: IO[str] | None = None) -> int | None:
    """Columns of the terminal that `out` (default: stdout) is; None for a file or pipe, which takes all."""
    out = sys.stdout if out is None else out
    if not out.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    try:
        width = int(given) if given.isdecimal() else 0
        # Serial lines and some containers say that they have no columns, which is that nothing is known.
        return width or os.get_terminal_size(out.fileno()).columns or None
    except OSError:
        return None


def width_of(columns: Sequence[Column]) -> int:
    """Of the table of these columns."""
    return sum(column.width for column in columns) + len(_GAP) * max(0, len(columns) - 1)


def table_lines(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """The titles and the rows; lines are cut at a width."""
    rows = zip(*(column.lines for column in columns), strict=True)
    widths = [column.width for column in columns]
    lines = []
    for row in rows:
        cells = zip(row, widths, columns, strict=True)
        line = _GAP.join(_padded(cell, size, column.right) for cell, size, column in cells).rstrip()
        lines.append(line if width is None else cut_to(line, width))
    return lines


def cut_to(line: str, width: int) -> str:
    """The line in so many columns, `…` at its end where something is left out."""
    return line if cell_len(line) <= width else set_cell_size(line, width - 1).rstrip() + "…"


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space
