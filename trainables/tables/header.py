"""What the first rows of a CSV file must be: the names of the columns once, and then values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trainables.tables.options import CSVOptions
from trainables.tables.sheet import Sheet

_NUM_COMPARED = 20
"""Rows below the first that must hold numbers where it holds none."""


def check_header(where: str, names: Sequence[str], options: CSVOptions) -> None:
    """Refuse names that are numbers, so that the file seems to have no header.

    Raises:
        ValueError: with a number.
    """
    numbers = [name for name in names if options.notation.number(name) is not None]
    fractions = [name for name in numbers if not name.lstrip("+-").isdecimal()]
    if 2 * len(numbers) > len(names) and (options.target not in names or fractions):
        raise ValueError(
            f"{where}: the first row must name the columns, and holds numbers such as "
            f"{(fractions or numbers)[0]!r}; add a row with the {len(names)} names above it"
        )


def check_names(where: str, names: Sequence[str], options: CSVOptions) -> None:
    """Refuse names that are missing or occur twice, and a row that was not split.

    Raises:
        ValueError: with the name.
    """
    if len(names) == 1:
        tried = (
            f"data.delimiter {options.delimiter!r}" if options.delimiter else "commas, semicolons and tabs"
        )
        known = ": leave data.delimiter out" if options.delimiter else ", or set data.delimiter"
        raise ValueError(
            f"{where}: has the one column {names[0]!r} with {tried} between cells; there must be a "
            f"target and at least one other{known}"
        )
    if "" in names:
        way_out = "give it one in the first row, and put it into data.ignore_columns if it is no input"
        if 2 * names.count("") > len(names):
            way_out = "if this line is a title, remove the lines above the names of the columns"
        raise ValueError(f"{where}: column {names.index('') + 1} of {len(names)} has no name; {way_out}")
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(
            f"{where}: {len(doubled)} names are duplicated, such as {doubled[0]!r}; names must differ"
        )


def check_first_row(sheet: Sheet) -> None:
    """Refuse a first row of units, or of a second header: texts where the rows below hold numbers.

    Raises:
        ValueError: with its texts.
    """
    number, missing = sheet.notation.number, sheet.missing
    texts = []
    for column in sheet.columns.values():
        first = column[0]
        if number(first) is not None:
            return
        below = [text for text in column[1 : 1 + _NUM_COMPARED] if text not in missing]
        if first not in missing and below and all(number(text) is not None for text in below):
            texts.append(first)
    if len(texts) > 1:
        raise ValueError(
            f"{sheet.file}:{sheet.lines[0]}: holds {', '.join(map(repr, texts[:3]))} where the rows below "
            "hold numbers; a second row of names, or of units, is no sample: remove it"
        )
