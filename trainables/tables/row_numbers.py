"""Columns that only number the rows of a table: an index that pandas wrote, or an `id`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

_UNNAMED = "Unnamed: 0"
"""What pandas calls the first column if it has no name, as in the files that it writes itself."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+|#")
_IDENTIFIERS = {"id", "rowid", "uid"}
_OF_ROWS = {
    *("#", "no", "nr", "num", "number", "s", "sl", "sr", "sno", "serial", "index", "idx", "level", "0", "1"),
    *("row", "rownum", "rowname", "rownames", "obs", "observation", "record", "sample"),
}


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
    words = [word.lower() for word in _WORD.findall(name)]
    return bool(words) and (words[-1] in _IDENTIFIERS or set(words) <= _OF_ROWS)


def row_numbers(columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The columns that count rows, in any order and with gaps where some were removed, or without a name."""
    for name, texts in columns.items():
        if is_unnamed(name):
            if len(set(texts)) == len(texts):
                yield name
        elif is_row_name(name) and are_different(texts):
            numbers = [int(text) for text in texts]
            if max(numbers) - min(numbers) < 2 * len(numbers):
                yield name
