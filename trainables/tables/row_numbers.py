"""Columns that only number the rows of a table: an index that pandas wrote, or an `id`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

_UNNAMED = "Unnamed: 0"
"""What pandas calls the first column if it has no name, as in the files that it writes itself."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|#")
_IDENTIFIERS = {"id", "rowid", "uid"}
_OF_ROWS = {"index", "idx", "row", "rownum", "rowname", "rownames"}
_NUMBERS = {"#", "no", "nr", "num", "number", "s", "sl", "sr", "sno", "serial", "level", "0", "1"}
_NUMBERS |= {"obs", "observation", "record", "sample"}


def unnamed_index(names: Sequence[str]) -> str:
    """The name that pandas gives to a first column without one; two of them stand in a file saved twice."""
    return next(name for name in _unnamed() if name not in names)


def _unnamed() -> Iterator[str]:
    name = _UNNAMED
    while True:
        yield name
        name += ".1"


def is_unnamed(name: str) -> bool:
    """Whether a column is called as pandas calls one without a name."""
    return name.startswith(_UNNAMED)


def are_different(texts: Sequence[str]) -> bool:
    """Whether these are different whole numbers, one for each row."""
    return all(text.isdecimal() and text.isascii() for text in texts) and len(set(texts)) == len(texts)


def is_row_name(name: str) -> bool:
    """Whether a column is called as one that numbers or identifies the rows, such as PassengerId or S.No."""
    words = _words(name)
    return bool(words) and (words[-1] in _IDENTIFIERS or set(words) <= _OF_ROWS | _NUMBERS)


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def row_numbers(columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The columns that count rows, in any order, and those without a name that differ in each row.

    Some of the rows may have been removed, but where the name may be that of a quantity too.
    """
    for name, texts in columns.items():
        if is_unnamed(name):
            if len(set(texts)) == len(texts):
                yield name
        elif is_row_name(name) and are_different(texts):
            numbers = [int(text) for text in texts]
            some_removed = not _NUMBERS.issuperset(_words(name))
            if max(numbers) - min(numbers) < len(numbers) * (2 if some_removed else 1):
                yield name
