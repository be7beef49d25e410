"""What may be meant otherwise in a table: one look at each column, and the line that reads it right."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from trainables.findings import Finding, Kind, some
from trainables.tables.encode import category_limit, numeric_columns
from trainables.tables.missing import missing_line, option_line, spells_missing
from trainables.tables.options import CSVOptions
from trainables.tables.read import Sheets, input_names
from trainables.tables.row_numbers import are_different, is_row_name, is_unnamed
from trainables.tables.sentinels import sentinels
from trainables.tables.shift import number_shift, text_shift
from trainables.tables.spelling import in_two_ways

SHOWN = 3
_ENOUGH = 10
"""Training rows from which on an agreement of two columns is no chance."""
_LINEAR = 1e-4
"""Share of the variance that rounding may explain."""
_DAYS = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])?")
_CODE = re.compile(r"0\d{2,}")


def _kind(name: str) -> Kind:
    """The remedies are in the messages, as each names its column."""
    return Kind(name=name, severity="warning", remedy="")


MAYBE_MISSING = _kind("value that may be missing")
SHIFT = _kind("validation unlike training")
CODES = _kind("names read as numbers")
TWO_WAYS = _kind("text written in two ways")
COPY = _kind("input that is the target")
TWO_NUMBERS = _kind("target of two numbers")
SAME = _kind("validation is training")


def table_doubts(sheets: Sheets, options: CSVOptions, *, of_classes: bool) -> list[Finding]:
    """The findings of all columns.

    Args:
        of_classes: whether the target is a class; else it is a number.
    """
    looked = _Look(sheets, options, of_classes)
    where = str(sheets.train.file.resolve())
    return [Finding(kind, where, message) for kind, message in looked.doubts()]


def tell_doubts(sheets: Sheets, options: CSVOptions, *, of_classes: bool) -> None:
    """Print how the rows were read, and the first doubt."""
    lines = table_notes(sheets, options)
    doubts = table_doubts(sheets, options, of_classes=of_classes)
    if doubts:
        more = f" (and {len(doubts) - 1} more: `tune-search check` lists them)" if len(doubts) > 1 else ""
        lines.append(f"{sheets.train.file}: {doubts[0].message}{more}")
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def table_notes(sheets: Sheets, options: CSVOptions) -> list[str]:
    """What was left out of the files."""
    notes = []
    for sheet in {sheet.file: sheet for sheet in sheets}.values():
        if sheet.repeated:
            lines = some(map(str, sheet.repeated), SHOWN)
            notes.append(f"{sheet.file}: repeats its header in line {lines}, which is left out")
    for name in sorted(sheets.train.row_numbers.difference(options.ignore_columns)):
        if not is_unnamed(name):
            keep = option_line("keep_columns", {*options.keep_columns, name})
            what = f"column {name!r} numbers the rows and is left out; {keep} makes it an input"
            notes.append(f"{sheets.train.file}: {what}")
    return notes


class _Look:
    """One look at a table."""

    def __init__(self, sheets: Sheets, options: CSVOptions, of_classes: bool) -> None:
        self._sheets, self._train, self._options = sheets, sheets.train, options
        self._of_classes = of_classes
        self._numeric = numeric_columns(sheets.train, options)

    def doubts(self) -> Iterator[tuple[Kind, str]]:
        for name in input_names(self._train, self._options):
            yield from self._of_numbers(name) if name in self._numeric else self._of_texts(name)
            if message := self._copy(name):
                yield COPY, message
        yield from self._of_target(self._options.target)
        if self._options.valid_path and self._train.columns == self._sheets.valid.columns:
            yield SAME, "data.path and data.valid_path hold the same rows; validate on others"

    def _of_numbers(self, name: str) -> Iterator[tuple[Kind, str]]:
        yield from self._missing(name)
        if message := self._names(name):
            yield CODES, message
        if self._options.valid_path and (shift := number_shift(name, self._sheets)):
            yield SHIFT, shift.message

    def _of_texts(self, name: str) -> Iterator[tuple[Kind, str]]:
        if pair := in_two_ways(dict.fromkeys(self._train.present(name))):
            alike = " and ".join(map(repr, pair))
            yield TWO_WAYS, f"column {name!r}: {alike} are two categories; write them in one way"
        if self._options.valid_path and (shift := text_shift(name, self._sheets)) and not shift.is_error:
            yield SHIFT, shift.message

    def _of_target(self, name: str) -> Iterator[tuple[Kind, str]]:
        yield from self._missing(name, is_target=True)
        if self._of_classes:
            return
        present = set(self._train.numbers(name)[~np.isnan(self._train.numbers(name))].tolist())
        if len(present) == 2 and len(self._train) >= _ENOUGH:
            numbers = " and ".join(f"{number:g}" for number in sorted(present))
            message = f"column {name!r}: holds only {numbers}; task: classification predicts classes"
            yield TWO_NUMBERS, message
        if self._options.valid_path and (shift := number_shift(name, self._sheets)):
            yield SHIFT, shift.message

    def _missing(self, name: str, *, is_target: bool = False) -> Iterator[tuple[Kind, str]]:
        """Texts and numbers that usually stand for a missing value."""
        texts = Counter(text for sheet in self._sheets for text in sheet.present(name))
        of_class = is_target and self._of_classes
        way_out = ""
        if is_target and self._options.missing_targets != "drop":
            way_out = ", and data.missing_targets: drop leaves these rows out"

        def doubt(alike: Sequence[str], why: str) -> tuple[Kind, str]:
            rows = f"{sum(texts[text] for text in alike)} of {texts.total()} rows"
            line = missing_line(alike, self._train.missing)
            return MAYBE_MISSING, (
                f"column {name!r}: {some(map(repr, alike), SHOWN)} in {rows}{why}: {line} reads it as "
                f"missing{way_out}"
            )

        spelled = [text for text in texts if spells_missing(text) and not (text == "-" and "+" in texts)]
        if spelled:
            yield doubt(spelled, ", which is used as a class" if of_class else "")
        numbers = np.concatenate([sheet.numbers(name) for sheet in self._sheets])
        if of_class and np.isnan(numbers).any():
            return
        for value, low, high in sentinels(numbers):
            alike = [text for text in texts if self._train.notation.number(text) == value]
            yield doubt(alike, f", far from the others ({low:.6g} to {high:.6g})")

    def _names(self, name: str) -> str:
        """What is said of dates, codes and row numbers that are read as numbers."""
        texts = self._train.present(name)
        different = set(texts)
        ignore = option_line("ignore_columns", {*self._options.ignore_columns, name})
        if len(different) >= SHOWN and all(_DAYS.fullmatch(text) for text in different):
            return (
                f"column {name!r}: dates such as {max(different)} are read as numbers, with gaps between "
                f"months: write days since the first one, or leave them out: {ignore}"
            )
        if any(_CODE.fullmatch(text) for text in different) and all(text.isdecimal() for text in different):
            code = min(text for text in different if _CODE.fullmatch(text))
            line = option_line("text_columns", {*self._options.text_columns, name})
            if category_limit(len(different), len(texts), self._options):
                line = ignore
            return f"column {name!r}: {code} is read as the number {int(code)}; if these are codes: {line}"
        is_kept = name in self._options.keep_columns or len(texts) < _ENOUGH
        if not is_kept and is_row_name(name) and len(texts) == len(self._train) and are_different(texts):
            return f"column {name!r}: another number in each row; if it only names the rows: {ignore}"
        return ""

    def _copy(self, name: str) -> str:
        """What is said of an input that is the target, or a linear function of it."""
        target, train = self._options.target, self._train
        ignore = option_line("ignore_columns", {*self._options.ignore_columns, name})
        if self._of_classes:
            rows = zip(train.columns[name], train.columns[target], strict=True)
            pairs = {(text, of) for text, of in rows if text not in train.missing and of not in train.missing}
            parts = [len({pair[part] for pair in pairs}) for part in (0, 1)]
            if len(train) < _ENOUGH or not 2 <= len(pairs) == parts[0] == parts[1]:
                return ""
            what = f"tells the class {target!r}: each value stands for one class"
        else:
            if name not in self._numeric or not _is_linear(train.numbers(name), train.numbers(target)):
                return ""
            what = f"is the target {target!r}, or a linear function of it"
        return f"column {name!r}: {what}; if it is not known when predicting: {ignore}"


def _is_linear(inputs: np.ndarray, targets: np.ndarray) -> bool:
    known = ~np.isnan(inputs) & ~np.isnan(targets)
    if known.sum() < _ENOUGH:
        return False
    x, y = (values[known] - values[known].mean() for values in (inputs, targets))
    sizes = float(x @ x) * float(y @ y)
    return sizes > 0 and 1 - float(x @ y) ** 2 / sizes < _LINEAR
