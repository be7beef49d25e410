"""Reads every row of a table: cells that are missing, no number or not finite, and repeated rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from trainables.findings import Finding, Kind, some
from trainables.inspect.inspection import LEAKAGE, Column, Conclusion, Contents, Inspection, SampleName
from trainables.tables.doubts import table_doubts, table_notes
from trainables.tables.encode import column_problems, fit_column, notation_problems, numeric_columns
from trainables.tables.options import CSVOptions
from trainables.tables.read import Sheets, folds_of_rows, input_names, joined, named_by, notes_on_folds
from trainables.tables.row_numbers import is_unnamed
from trainables.tables.sheet import Sheet

MISSING = Kind(
    name="row with missing numbers", severity="warning", remedy="each becomes the mean of its column"
)
NO_NUMBER = Kind(
    name="no finite number",
    severity="error",
    remedy="correct it, put it into data.missing, or the column into data.text_columns",
)
NO_TARGET = Kind(
    name="row without a target",
    severity="error",
    remedy="fill it in, or leave such rows out with data.missing_targets: drop",
)
LEFT_OUT = Kind(
    name="row without a target", severity="warning", remedy="left out, as data.missing_targets: drop says"
)
COLUMN = Kind(name="column that cannot be used", severity="error", remedy="read, correct or leave it out")
UNKNOWN_CLASS = Kind(
    name="class not in training", severity="error", remedy="add training rows of it, or remove these"
)
SPLIT_LEAKAGE = replace(
    LEAKAGE,
    remedy="the file repeats rows, and the split put them into both parts: keep each once, or expect it",
)

SHOWN = 3
"""Number of cells of a row that one finding names."""


class TableInspection(Inspection):
    """The rows of a CSV file, or of two.

    Args:
        sheets: what `read_sheets` returned.
        of_classes: whether the target is a class; else it is a number.
    """

    compared = "cells besides the target"

    def __init__(self, sheets: Sheets, options: CSVOptions, *, of_classes: bool) -> None:
        self.root = sheets.train.file.parent.resolve()
        self.leakage = LEAKAGE if options.valid_path else SPLIT_LEAKAGE
        folds = notes_on_folds(sheets, options, of_classes=of_classes)
        self.notes = [*table_notes(sheets, options), *folds]
        self._sheets, self._ignored, self._group = sheets, options.ignore_columns, options.group
        self._target, self._missing = options.target, sheets.train.missing
        self._number = sheets.train.notation.number
        self._inputs = input_names(sheets.train, options)
        self._numeric = numeric_columns(sheets.train, options)
        self._left_out = {
            name for name in self._inputs if not _varies(sheets.train, name, name in self._numeric)
        }
        self._rows = [(sheet, row) for sheet in (sheets.train, sheets.valid) for row in range(len(sheet))]
        self.samples = [
            SampleName(part, f"{sheet.file.resolve()}:{line}")
            for part, sheet in (("train", sheets.train), ("valid", sheets.valid))
            for line in sheet.lines
        ]
        dropped = {f"{sheet.file.resolve()}:{line}": None for sheet in sheets for line in sheet.dropped}
        numbers = self._numeric if of_classes else [*self._numeric, options.target]
        problems = [*column_problems(sheets, options).values(), *notation_problems(sheets, numbers)]
        self.findings = [
            *(Finding(COLUMN, str(sheets.train.file.resolve()), problem) for problem in problems),
            *(Finding(LEFT_OUT, where, f"{self._target} is missing") for where in dropped),
            *table_doubts(sheets, options, of_classes=of_classes),
        ]
        if options.folds is not None:
            self.folds = folds_of_rows(joined(sheets), options).of_samples
        self._classes: Mapping[str, int] | None = None
        if of_classes:
            texts = set(named_by(sheets, options).present(options.target))
            whole = all(text.lstrip("+-").isdecimal() for text in texts)
            self._classes = {text: n for n, text in enumerate(sorted(texts, key=int if whole else None))}

    def look(self, number: int) -> Contents:
        sheet, row = self._rows[number]
        cells = {name: sheet.columns[name][row] for name in self._inputs}
        where = self.samples[number].where
        found = self._input_findings(cells, where)
        target = sheet.columns[self._target][row]
        if target in self._missing:
            found.append(
                Finding(NO_TARGET, where, f"{self._target} is {repr(target) if target else 'empty'}")
            )
        elif self._classes is None and self._number(target) is None:
            found.append(Finding(NO_NUMBER, where, f"{self._target} is {target!r}"))
        elif self._classes is not None and target not in self._classes:
            found.append(Finding(UNKNOWN_CLASS, where, f"{self._target} is {target!r}"))
        labels = {} if self._classes is None or target not in self._classes else {self._classes[target]: 1}
        digest = hashlib.sha256(repr(list(cells.values())).encode()).digest()
        return Contents(findings=found, digests=[digest], labels=labels)

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        facts = {} if self._classes is not None else {"target": self._targets()}
        return Conclusion(class_names=list(self._classes or ()), facts=facts, columns=self._columns())

    def _targets(self) -> str:
        """The numbers to predict."""
        numbers = np.concatenate([sheet.numbers(self._target) for sheet in self._sheets])
        known = numbers[~np.isnan(numbers)]
        if not len(known):
            return f"{self._target} holds no number"
        return f"{self._target}: least {known.min():.4g}, mean {known.mean():.4g}, greatest {known.max():.4g}"

    def _columns(self) -> list[Column]:
        """What each column was taken for, with what it holds in training."""
        rows = [sheet.columns for sheet in self._sheets]
        return [
            Column(
                name=name,
                kind=self._kind(name),
                missing=sum(text in self._missing for columns in rows for text in columns.get(name, ())),
                example=self._example(name),
            )
            for name in self._sheets.train.columns
        ]

    def _kind(self, name: str) -> str:
        if name == self._target:
            return "target, number" if self._classes is None else f"target, {len(self._classes)} classes"
        if name == self._group:
            return "left out: data.group"
        if name in self._ignored:
            return "left out: data.ignore_columns"
        if name not in self._inputs:
            return "left out: " + (
                "index of pandas" if is_unnamed(name) else "row number (data.keep_columns)"
            )
        if name in self._left_out:
            return f"left out: {'one value' if self._sheets.train.present(name) else 'empty'}"
        return "number" if name in self._numeric else f"{len(set(self._sheets.train.present(name)))} texts"

    def _example(self, name: str) -> str:
        """The least and the greatest number, or the first different texts."""
        numbers = self._sheets.train.numbers(name)
        known = numbers[~np.isnan(numbers)]
        is_number = name in self._numeric or (name == self._target and self._classes is None)
        if len(known) and is_number:
            return f"{known.min():.6g} to {known.max():.6g}"
        return some(dict.fromkeys(self._sheets.train.present(name)), SHOWN)

    def _input_findings(self, cells: Mapping[str, str], where: str) -> list[Finding]:
        missing = [name for name in self._numeric if cells[name] in self._missing]
        present = [name for name in self._numeric if cells[name] not in self._missing]
        wrong = [f"{name} is {cells[name]!r}" for name in present if self._number(cells[name]) is None]
        used = [name for name in missing if name not in self._left_out]
        found = [Finding(MISSING, where, some(used, SHOWN))] if used else []
        return [*found, Finding(NO_NUMBER, where, some(wrong, SHOWN))] if wrong else found


def _varies(sheet: Sheet, name: str, is_number: bool) -> bool:
    values = sheet.numbers(name) if is_number else np.array(sheet.columns[name])
    return fit_column(name, values) is not None
