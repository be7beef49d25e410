"""Reads a CSV file as rows of texts; what is wrong in it is named by line.

Python's own csv module splits the rows: it refuses broken quotes and knows the line of each row, where
pandas takes a row with too few cells for one with missing values.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from trainables.tables.options import CSVOptions
from trainables.tables.sheet import Sheet
from trainables.text_file import encoding_of, not_fetched

INDEX = "Unnamed: 0"
"""What pandas calls the first column if it has no name, as in the files that it writes itself."""

_COMMENTS = ("#", "%", "//")

_Open = Callable[..., IO[str]]
_COMPRESSED: tuple[tuple[bytes, _Open], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_NO_TEXT = {
    b"PK": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"SQLite": "an SQLite database",
}


def read_csv(file: Path, options: CSVOptions) -> Sheet:
    """Read all of a file whose first row names the columns; empty lines and comments are left out.

    Raises:
        ValueError: naming the line that has too few or too many cells or broken quotes; or the file, if it
            cannot be read, is empty, without rows, not text, or has columns without a name or with the same.
    """
    try:
        lines, rows = _rows(file, options)
    except UnicodeError as error:
        raise ValueError(
            f"{file}: is not {options.encoding or 'UTF-8'} text ({error.args[-1]}{_byte(error)}); save it as "
            "UTF-8, or set data.encoding, such as cp1252 for Excel in Western Europe"
        ) from error
    except OSError as error:
        raise ValueError(f"{file}: cannot be read: {error.strerror or error}; correct the path") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{file}: cannot be decompressed ({error}); copy it again") from error
    if not rows:
        raise ValueError(f"{file}: is empty; its first row must name the columns")
    names = rows[0]
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(names):
            why = _why(row, names, first=line == lines[1])
            raise ValueError(f"{file}:{line}: has {len(row)} cells and the header {len(names)}; {why}")
    if len(rows) == 1:
        raise ValueError(f"{file}: has a header and no rows; there must be at least one")
    columns = list(map(list, zip(*rows[1:], strict=True)))
    if not names[0] and _is_index(columns[0]):
        names[0] = INDEX
    _check_names(f"{file}:{lines[0]}", names, options)
    missing = frozenset({"", *options.missing})
    return Sheet(file, dict(zip(names, columns, strict=True)), lines[1:], options.notation, missing)


def is_left_out(name: str, texts: Sequence[str]) -> bool:
    """Whether a column is the index that pandas has written."""
    return name == INDEX and _is_index(texts)


def _rows(file: Path, options: CSVOptions) -> tuple[list[int], list[list[str]]]:
    """For each row the line where it begins, and its cells without surrounding spaces."""
    lines, rows, begin = list[int](), list[list[str]](), 1
    with _open(file, options.encoding) as text:
        reader = csv.reader(
            _without_comments(text, options.comment), delimiter=options.delimiter, strict=True
        )
        try:
            for row in reader:
                if row:
                    lines.append(begin)
                    rows.append([cell.strip() for cell in row])
                begin = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{file}:{begin}: {error}; cells with quotes must be closed and doubled inside"
            ) from error
    return lines, rows


def _open(file: Path, encoding: str | None) -> IO[str]:
    with file.open("rb") as raw:
        begin = raw.read(64)
    if problem := not_fetched(begin):
        raise ValueError(f"{file}: {problem}")
    for mark, what in _NO_TEXT.items():
        if begin.startswith(mark):
            raise ValueError(f"{file}: is {what}; save it as CSV")
    opened = next((how for mark, how in _COMPRESSED if begin.startswith(mark)), open)
    if encoding is None:
        with opened(file, "rb") as raw:
            text = raw.read(4)
        assert isinstance(text, bytes)
        encoding = encoding_of(text)
    return opened(file, "rt", encoding=encoding, newline="")


def _without_comments(text: Iterable[str], comment: str | None) -> Iterator[str]:
    """The lines, with empty ones for comments, so that lines are still counted."""
    inside = False  # a quoted cell with line breaks
    for line in text:
        if comment is not None and not inside and line.startswith(comment):
            yield "\n"
            continue
        inside ^= line.count('"') % 2 == 1
        yield line


def _is_index(texts: Sequence[str]) -> bool:
    """Whether these are different whole numbers, one for each row."""
    return all(text.isdecimal() and text.isascii() for text in texts) and len(set(texts)) == len(texts)


def _byte(error: UnicodeError) -> str:
    return f": {error.object[error.start]:#x}" if isinstance(error, UnicodeDecodeError) else ""


def _why(row: Sequence[str], names: Sequence[str], *, first: bool) -> str:
    """What makes the number of a row's cells another one than that of the header."""
    if names[0].startswith(_COMMENTS):
        return f"data.comment: {names[0][0]!r} leaves out lines that begin as the first one does"
    if first and len(row) == len(names) + 1 and _is_index(row[:1]):
        return "if each row begins with its number, as R writes it, give that column a name too"
    return "the numbers must agree (cells that hold the delimiter need quotes)"


def _check_names(where: str, names: Sequence[str], options: CSVOptions) -> None:
    if len(names) == 1:
        probably = [other for other in ",;\t|" if other != options.delimiter and other in names[0]]
        known = f"; is data.delimiter {probably[0]!r}?" if probably else ""
        raise ValueError(
            f"{where}: has the one column {names[0]!r} with data.delimiter {options.delimiter!r}; there must "
            f"be a target and at least one other{known}"
        )
    if "" in names:
        place = names.index("") + 1
        what = "; is there a delimiter too many at the end of each line?" if place == len(names) else ""
        raise ValueError(
            f"{where}: column {place} of {len(names)} has no name; give it one in the first row, and put it "
            f"into data.ignore_columns if it is no input{what}"
        )
    doubled = [name for name, count in Counter(names).items() if count > 1]
    if doubled:
        raise ValueError(
            f"{where}: {len(doubled)} names are duplicated, such as {doubled[0]!r}; names must differ"
        )
