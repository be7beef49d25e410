"""predictions.csv: a row for each image or row of a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search.errors import RefusedError
from search.predicting.exported import training_options
from search.predicting.images import InputImage, read_images
from search.predicting.inputs import InputRecord, csv_text, read_whole_rows
from search.predicting.segment import without_file
from trainables.files import atomic_write, partial_path
from trainables.predicting.classifier import Classifier
from trainables.predicting.model import MemoryLimitError, OutputError, memory_limits
from trainables.predicting.regressor import Regressor
from trainables.predicting.rows import not_a_number, notes_on_columns, raw_columns, wrong_cells
from trainables.tables.csv_file import read_csv
from trainables.tables.encoded import encode
from trainables.tables.options import CSVOptions
from trainables.tables.sheet import Sheet

PREDICTIONS = "predictions.csv"
_GROWING = "predictions.rows"
LINE = "line"
"""Of the row in its file, as messages name it."""
_ROWS = 10_000
"""Of a table that are predicted between two reports of progress."""

Cells = list[str]


def classify_images(
    model: Classifier, images: Sequence[InputImage], out: Path, progress: Callable[[int, int], None]
) -> tuple[int, int, dict[str, str]]:
    """Predict the images of which no row is there yet, or that have changed since; see `segment`.

    Rows are appended to a partial file while they are predicted, and sorted in the end.
    """
    header = ["file", *_class_columns(model)]
    record = InputRecord(out, images)
    rows = _rows_of_before(out, header, {image.name for image in images if record.is_same(image)})
    todo = [image for image in images if image.name not in rows]
    kept, failed = len(rows), dict[str, str]()
    growing_file = partial_path(out / _GROWING)
    atomic_write(growing_file, csv_text([header, *rows.values()]))
    with growing_file.open("a", encoding="utf-8", newline="") as growing:
        for group in read_images(todo, model.read, model.batch_size):
            sound = {image.name: pixels for image, pixels in group if not isinstance(pixels, ValueError)}
            failed |= {image.name: without_file(e, image) for image, e in group if isinstance(e, ValueError)}
            if sound:
                new = _classified(model, sound, failed)
                growing.write(csv_text(new.values()))
                growing.flush()
                record.add(new)
                rows |= new
            progress(len(rows) + len(failed), len(images))
    atomic_write(out / PREDICTIONS, csv_text([header, *(rows[key] for key in sorted(rows))]))
    growing_file.unlink()
    return len(todo) - len(failed), kept, failed


def _classified(model: Classifier, pixels: Mapping[str, Any], failed: dict[str, str]) -> dict[str, Cells]:
    """Rows by the name of the image; of several that cannot be predicted together, each is tried alone."""
    try:
        with memory_limits():
            found = model.of_images(list(pixels.values()))
    except (MemoryLimitError, OutputError) as error:
        if len(pixels) == 1:
            failed |= dict.fromkeys(pixels, str(error))
            return {}
        rows: dict[str, Cells] = {}
        for name, each in pixels.items():
            rows |= _classified(model, {name: each}, failed)
        return rows
    return {name: [name, *_class_cells(model, row)] for name, row in zip(pixels, found, strict=True)}


def predict_table(
    model: Classifier | Regressor, sheet: Sheet, out: Path, progress: Callable[[int, int], None]
) -> tuple[int, dict[str, str], tuple[str, ...]]:
    """Predict the rows of a CSV file, see `read_table`.

    Returns:
        How many were predicted, what is wrong with each of the others, and what may be wrong with these.
    """
    wrong: dict[int, str] = {}
    for inputs in model.row_inputs:
        wrong |= wrong_cells(sheet.columns, inputs)
    failed = {row: not_a_number(name, sheet.columns[name][row]) for row, name in wrong.items()}
    sound = np.array([row for row in range(len(sheet)) if row not in wrong], np.int64)
    columns = [(raw_columns(sheet.take(sound).columns, inputs), inputs) for inputs in model.row_inputs]
    encoded = np.concatenate([encode(raw, inputs.columns) for raw, inputs in columns], axis=1)
    notes: dict[str, str] = {}
    for raw, inputs in columns:
        notes = notes_on_columns(raw, inputs) | notes
    beside = [name for name in sheet.columns if name in sheet.row_numbers]
    header = [LINE, *beside, *([_target(model)] if isinstance(model, Regressor) else _class_columns(model))]
    rows: list[Cells] = [header]
    for first in range(0, len(encoded), _ROWS):
        part = slice(first, first + _ROWS)
        for row, found in zip(sound[part].tolist(), _row_cells(model, encoded[part]), strict=True):
            if isinstance(found, OutputError):
                failed[row] = f"the model {found}"
            else:
                rows.append([str(sheet.lines[row]), *(sheet.columns[name][row] for name in beside), *found])
        progress(min(first + _ROWS, len(encoded)), len(encoded))
    atomic_write(out / PREDICTIONS, csv_text(rows))
    named = {f"line {sheet.lines[row]}": failed[row] for row in sorted(failed)}
    return len(rows) - 1, named, tuple(notes.values())


def _row_cells(model: Classifier | Regressor, encoded: np.ndarray) -> list[Cells | OutputError]:
    """Of each row; of several of which one gives no numbers, each half is tried alone."""
    try:
        if isinstance(model, Regressor):
            return [[str(value)] for value in model.of_rows(encoded)]
        return [_class_cells(model, row) for row in model.of_rows(encoded)]
    except OutputError as error:
        if len(encoded) == 1:
            return [error]
        half = len(encoded) // 2
        return _row_cells(model, encoded[:half]) + _row_cells(model, encoded[half:])


def read_table(model: Classifier | Regressor, export: Path, given: Path) -> Sheet:
    """The rows of the file, read as the training's was; their delimiter may be another one.

    Raises:
        RefusedError: the file cannot be read, or lacks a column.
    """
    needed = dict.fromkeys(entry["name"] for inputs in model.row_inputs for entry in inputs.columns)
    missing = model.row_inputs[0].missing
    found: object = training_options(export).data
    try:
        built_in = CSVOptions(path=str(given), target=_target(model), missing=missing)
        data = found if isinstance(found, CSVOptions) else built_in
        sheet = read_csv(given, data.model_copy(update={"path": str(given), "delimiter": None}))
        sheet.require(list(needed), "which the model needs")
    except (ValueError, OSError) as error:
        raise RefusedError(str(error)) from error
    return sheet


def _target(model: Classifier | Regressor) -> str:
    return model.inference.target.name if model.inference.target is not None else "class"


def _class_columns(model: Classifier | Regressor) -> Cells:
    return ["class", *(f"probability/{name}" for name in model.classes.tolist())]


def _class_cells(model: Classifier | Regressor, probabilities: np.ndarray) -> Cells:
    return [str(model.classes[probabilities.argmax()]), *map(str, probabilities)]


def _rows_of_before(out: Path, header: Cells, names: Collection[str]) -> dict[str, Cells]:
    """Whole rows of these images, as an earlier call has written them."""
    files = (out / PREDICTIONS, partial_path(out / _GROWING))
    rows = [row for file in files for row in read_whole_rows(file, len(header))]
    return {row[0]: row for row in rows if row[0] in names}
