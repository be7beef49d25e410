"""Reads a CSV file as rows of texts; what is wrong in it is named by line.

Python's own csv module splits the rows: it refuses broken quotes and knows the line of each row, where
pandas takes a row with too few cells for one with missing values.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import itertools
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from trainables.tables.header import check_first_row, check_header, check_names
from trainables.tables.options import CSVOptions
from trainables.tables.row_numbers import are_different, row_numbers, unnamed_index
from trainables.tables.sheet import Sheet
from trainables.text_file import encoding_of, not_fetched

_COMMENTS = ("#", "%", "//")
_DELIMITER_LINE = re.compile(r'\s*"?sep=(.)"?,*\s*', re.IGNORECASE)
"""The first line of files that Excel is to open."""
_Open = Callable[..., IO[str]]
_COMPRESSED: tuple[tuple[bytes, _Open], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_NO_TEXT = {
    b"PK": "a zip archive or an Excel workbook; unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "an Excel workbook; save it as CSV",
    b"PAR1": "a Parquet file; save it as CSV",
    b"ARROW1": "an Arrow file; save it as CSV",
    b"\x89HDF": "an HDF5 file; save it as CSV",
    b"SQLite": "an SQLite database; save it as CSV",
    b"<!": "a page of HTML, perhaps of an error in a download; copy the table again",
    b"<html": "a page of HTML, perhaps of an error in a download; copy the table again",
    b"[{": "JSON; save it as CSV",
    b"{": "JSON; save it as CSV",
}
_DELIMITERS = ",;\t|"
_NUM_SNIFFED = 20
"""Rows that must have as many cells as the header for a delimiter to be taken."""
_TOTALS = ("total", "totals", "grand total", "sum", "summe", "gesamt", "subtotal", "average", "mean")


def read_csv(file: Path, options: CSVOptions) -> Sheet:
    """Read all of a file whose first row names the columns; empty lines and comments are left out.

    Raises:
        ValueError: naming the line that has too few or too many cells or broken quotes; or the file, if it
            cannot be read, is empty, without rows, not text, or has columns without a name or with the same.
    """
    delimiter, lines, rows = _read(file, options)
    if not rows:
        raise ValueError(f"{file}: is empty; its first row must name the columns")
    names, header = rows[0], f"{file}:{lines[0]}"
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(names):
            why = _why(row, names, first=line == lines[1])
            raise ValueError(f"{file}:{line}: has {len(row)} cells and the header {len(names)}; {why}")
    repeated = tuple(line for line, row in zip(lines, rows, strict=True) if row == names)[1:]
    kept = [(line, row) for line, row in zip(lines, rows, strict=True) if row != names]
    if not kept:
        raise ValueError(f"{file}: has a header and no rows; there must be at least one")
    check_header(header, names, options)
    columns = list(map(list, zip(*(row for _, row in kept), strict=True)))
    if not names[-1] and not any(columns[-1]):  # a delimiter at the end of each line
        names, columns = names[:-1], columns[:-1]
    _refuse_totals(f"{file}:{kept[-1][0]}", columns)
    if not names[0] and len(set(columns[0])) == len(kept):
        names = [unnamed_index(names), *names[1:]]
    check_names(header, names, options)
    named = dict(zip(names, columns, strict=True))
    sheet = Sheet(
        file=file,
        columns=named,
        lines=[line for line, _ in kept],
        notation=options.notation,
        missing=frozenset({"", *options.missing}),
        delimiter=delimiter,
        row_numbers=frozenset(row_numbers(named)).difference(
            {options.target}, options.keep_columns, options.text_columns
        ),
        repeated=repeated,
    )
    check_first_row(sheet)
    return sheet


def _read(file: Path, options: CSVOptions) -> tuple[str, list[int], list[list[str]]]:
    """The delimiter, and what `_rows` finds with it."""
    try:
        delimiter = options.delimiter or _delimiter(file, options)
        return delimiter, *_rows(file, options, delimiter)
    except UnicodeError as error:
        raise ValueError(
            f"{file}: is not {options.encoding or 'UTF-8'} text ({error.args[-1]}{_byte(error)}); save it as "
            "UTF-8, or set data.encoding, such as cp1252 for Excel in Western Europe"
        ) from error
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror or error}; correct the path") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{file}: cannot be decompressed ({error}); copy it again") from error


def _rows(file: Path, options: CSVOptions, delimiter: str) -> tuple[list[int], list[list[str]]]:
    """For each row the line where it begins, and its cells without surrounding spaces."""
    lines, rows, begin = list[int](), list[list[str]](), 1
    with _open(file, options.encoding) as text:
        reader = csv.reader(_without_comments(text, options.comment), delimiter=delimiter, strict=True)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    lines.append(begin)
                    rows.append(cells)
                begin = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{file}:{begin}: {error}; cells with quotes must be closed and doubled inside"
            ) from error
    return lines, rows


def _delimiter(file: Path, options: CSVOptions) -> str:
    """The first of the usual ones that splits the first rows alike, best so that one column is the target."""
    with _open(file, options.encoding) as text:
        if told := _DELIMITER_LINE.fullmatch(text.readline()):
            return told[1]
    possible = list[str]()
    for delimiter in _DELIMITERS:
        with _open(file, options.encoding) as text:
            reader = csv.reader(_without_comments(text, options.comment), delimiter=delimiter, strict=True)
            try:
                rows = list(itertools.islice(filter(None, reader), _NUM_SNIFFED))
            except csv.Error:
                continue
        if not rows or len(rows[0]) < 2 or len(set(map(len, rows))) > 1:
            continue
        if options.target in [name.strip() for name in rows[0]]:
            return delimiter
        possible.append(delimiter)
    return possible[0] if possible else _DELIMITERS[0]


def _open(file: Path, encoding: str | None) -> IO[str]:
    with file.open("rb") as raw:
        begin = raw.read(64)
    if problem := not_fetched(begin):
        raise ValueError(f"{file}: {problem}")
    for mark, what in _NO_TEXT.items():
        if begin.startswith(mark):
            raise ValueError(f"{file}: is {what}")
    opened = next((how for mark, how in _COMPRESSED if begin.startswith(mark)), open)
    if encoding is None:
        with opened(file, "rb") as raw:
            text = raw.read(4)
        assert isinstance(text, bytes)
        encoding = encoding_of(text)
    return opened(file, "rt", encoding=encoding, newline="")


def _without_comments(text: Iterable[str], comment: str | None) -> Iterator[str]:
    """The lines, with empty ones for comments and Excel's, so that lines are still counted."""
    inside = False  # a quoted cell with line breaks
    for number, line in enumerate(text):
        is_comment = comment is not None and not inside and line.startswith(comment)
        if is_comment or (number == 0 and _DELIMITER_LINE.fullmatch(line)):
            yield "\n"
            continue
        inside ^= line.count('"') % 2 == 1
        yield line


def _refuse_totals(where: str, columns: Sequence[Sequence[str]]) -> None:
    """Refuse a last row that is named like a sum of the others, as no other row is."""
    for texts in columns:
        last = texts[-1]
        if last.lower().rstrip(":") in _TOTALS and texts.count(last) == 1:
            raise ValueError(
                f"{where}: the last row holds {last!r}, as no other row does; totals are no sample: remove it"
                + (f", or set data.comment: {last!r}" if texts is columns[0] else "")
            )


def _byte(error: UnicodeError) -> str:
    return f": {error.object[error.start]:#x}" if isinstance(error, UnicodeDecodeError) else ""


def _why(row: Sequence[str], names: Sequence[str], *, first: bool) -> str:
    """What makes the number of a row's cells another one than that of the header."""
    if names[0].startswith(_COMMENTS):
        return f"data.comment: {names[0][0]!r} leaves out lines that begin as the first one does"
    if len(names) == 1:
        return "if its first line is a title, remove the lines above the names of the columns"
    if first and len(row) == len(names) + 1 and are_different(row[:1]):
        return "if each row begins with its number, as R writes it, give that column a name too"
    return "the numbers must agree (cells that hold the delimiter need quotes)"
