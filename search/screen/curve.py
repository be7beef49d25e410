"""A learning curve drawn with characters, the rungs marked below it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.text import number_text

_BRAILLE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Of a character's two columns from the top to the bottom."""
_HEIGHT, _WIDEST = 8, 72


def curve_lines(
    values: Sequence[float], rungs: Sequence[int], *, width: int = 80, encoding: str = "utf-8"
) -> list[str]:
    """The values over virtual epochs 1, 2, …, the largest at the top.

    Args:
        values: finite, one at least.
        rungs: virtual epochs that are marked.
        width: of the whole, in columns.
        encoding: of the terminal; without Unicode a point is `*`.
    """
    low, high = min(values), max(values)
    names = [number_text(high), number_text(low)]
    margin = max(map(len, names)) + 1
    cells = max(4, min(_WIDEST, width - margin - 3, 2 * len(values)))
    braille = encoding.lower().startswith("utf")
    drawn = _drawn(values, low, high, cells, braille=braille)
    bar, corner, line, mark = ("│", "└", "─", "┴") if braille else ("|", "+", "-", "+")
    lines = []
    for number, row in enumerate(drawn):
        name = names[0] if number == 0 else names[1] if number == _HEIGHT - 1 else ""
        lines.append(f"{name:>{margin}} {bar}{row}".rstrip())
    at = {epoch: _column(epoch, len(values), 2 * cells) // 2 for epoch in rungs}
    axis = "".join(mark if place in at.values() else line for place in range(cells))
    labels = {0: "1"} | {place: str(epoch) for epoch, place in at.items()}
    last = str(len(values))
    labels = {p: text for p, text in labels.items() if p + len(text) < cells - len(last)}
    labels |= {max(0, cells - len(last)): last} if len(values) > 1 else {}
    return [*lines, f"{'':>{margin}} {corner}{axis}", f"{'':>{margin}}  {_labelled(labels)}"]


def _drawn(values: Sequence[float], low: float, high: float, cells: int, *, braille: bool) -> list[str]:
    dots = [[0] * cells for _ in range(_HEIGHT)]
    points = [
        (_column(epoch, len(values), 2 * cells), _row(value, low, high))
        for epoch, value in enumerate(values, 1)
    ]
    for (left, start), (right, stop) in zip(points, points[1:] or points, strict=False):
        before = start
        for x in range(left, right + 1):
            y = start if right == left else round(start + (stop - start) * (x - left) / (right - left))
            for between in {y, *range(min(before, y) + 1, max(before, y))}:
                dots[between // 4][x // 2] |= _DOTS[x % 2][between % 4]
            before = y
    if not braille:
        return ["".join("*" if cell else " " for cell in row) for row in dots]
    return ["".join(chr(_BRAILLE + cell) if cell else " " for cell in row) for row in dots]


def _column(epoch: int, number: int, columns: int) -> int:
    """The dot of a virtual epoch among so many columns of dots."""
    return 0 if number == 1 else round((epoch - 1) * (columns - 1) / (number - 1))


def _row(value: float, low: float, high: float) -> int:
    """The dot of a value, 0 at the top."""
    share = 0.5 if high == low else (value / 2 - low / 2) / (high / 2 - low / 2)  # no overflow
    return 4 * _HEIGHT - 1 - math.floor(share * (4 * _HEIGHT - 1) + 0.5)


def _labelled(labels: dict[int, str]) -> str:
    """Texts at their columns; one that would touch the one before it is left out."""
    text = ""
    for place, label in sorted(labels.items()):
        if not text or place > len(text):
            text = text.ljust(place) + label
    return text
