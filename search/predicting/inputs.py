"""inputs.csv: size and date of each image when it was predicted. A file that differs is predicted again."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from search.predicting.images import InputImage
from trainables.files import atomic_write

INPUTS = "inputs.csv"
_HEADER = ["file", "bytes", "modified_ns"]


class InputRecord:
    """Size and date of images: those of earlier calls, and those of the files now.

    Dates are compared for equality, as a file may be replaced by an older one.

    Args:
        out: folder that holds the file.
        images: which to look at, before any of them is read.
    """

    def __init__(self, out: Path, images: Sequence[InputImage]) -> None:
        self._file = out / INPUTS
        self._now = {image.name: _state(image) for image in images}
        before = {row[0]: row[1:] for row in read_whole_rows(self._file, len(_HEADER))}
        self._same = {name for name, state in self._now.items() if state and before.get(name) == state}
        atomic_write(self._file, csv_text([_HEADER, *([name, *before[name]] for name in sorted(self._same))]))

    def is_same(self, image: InputImage) -> bool:
        """Whether the file is the one that was predicted."""
        return image.name in self._same

    def add(self, names: Iterable[str]) -> None:
        """Note images, all outputs of which are written."""
        with self._file.open("a", encoding="utf-8", newline="") as growing:
            growing.write(csv_text([name, *self._now[name]] for name in names))


def read_whole_rows(file: Path, columns: int) -> list[list[str]]:
    """Rows of a growing CSV file, of which the last may be cut short; none without the file."""
    if not file.is_file():
        return []
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.reader(io.StringIO(whole)) if len(row) == columns]


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """Lines of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _state(image: InputImage) -> list[str]:
    """Empty for a file that cannot be looked at, which is told when it is read."""
    try:
        found = image.file.stat()
    except OSError:
        return []
    return [str(found.st_size), str(found.st_mtime_ns)]
