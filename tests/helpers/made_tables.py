"""Small CSV files of numbers, and what is said of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trainables.classification.data import load_arrays as load_classes
from trainables.classification.data import read_class_sheets
from trainables.classification.options import ClassCSVOptions
from trainables.regression.data import load_arrays as load_numbers
from trainables.regression.data import read_number_sheets
from trainables.regression.options import NumberCSVOptions
from trainables.tables.doubts import table_doubts, table_notes

Column = Callable[[int], object]
ROWS = 40
DRAWN = np.random.default_rng(0).normal(size=(ROWS, 3))


class Lines:
    """A CSV file of made-up numbers `a` and `b` and a target `y`, with more columns or others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str = "t.csv", count: int = ROWS, **columns: Column) -> Path:
        given: dict[str, Column] = {
            "a": lambda n: f"{DRAWN[n, 0]:.3f}",
            "b": lambda n: f"{DRAWN[n, 1]:.3f}",
            "y": lambda n: f"{3 * DRAWN[n, 0] + DRAWN[n, 2]:.3f}",
        }
        given |= columns
        rows = [",".join(given), *(",".join(str(cell(n)) for cell in given.values()) for n in range(count))]
        (self.folder / name).write_text("\n".join(rows) + "\n")
        return self.folder / name


def y(n: int) -> float:
    return float(3 * DRAWN[n, 0] + DRAWN[n, 2])


def options_of(file: Path, of_classes: bool, options: dict[str, Any]) -> Any:
    model = ClassCSVOptions if of_classes else NumberCSVOptions
    return model.model_validate({"source": "csv", "path": str(file), "target": "y", **options})


def doubts(file: Path, of_classes: bool = False, **options: Any) -> list[str]:
    """The messages, and what reading the file left out."""
    parsed = options_of(file, of_classes, options)
    sheets = read_class_sheets(parsed) if of_classes else read_number_sheets(parsed)
    messages = [finding.message for finding in table_doubts(sheets, parsed, of_classes=of_classes)]
    return [*messages, *table_notes(sheets, parsed)]


def load(file: Path, of_classes: bool = False, **options: Any) -> dict[str, np.ndarray]:
    parsed = options_of(file, of_classes, options)
    return load_classes(parsed) if of_classes else load_numbers(parsed)


def advised(message: str) -> dict[str, Any]:
    """The options that a message names, as somebody would copy them."""
    found = re.findall(r"data\.(\w+): (\[.*?\]|\w+|\"[^\"]*\")", message)
    return {name: yaml.safe_load(value) for name, value in found}
