"""What may be meant otherwise in a table: one look at each column, and the line that reads it right."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from trainables.data.notes import add_note
from trainables.findings import Finding, Kind, some
from trainables.tables.encode import category_limit, numeric_columns
from trainables.tables.missing import missing_line, option_line, spells_missing
from trainables.tables.options import CSVOptions
from trainables.tables.read import Sheets, input_names, notes_on_folds
from trainables.tables.row_numbers import are_different, is_row_name, is_unnamed
from trainables.tables.sentinels import sentinels
from trainables.tables.shift import number_shift, text_shift
from trainables.tables.spelling import in_two_ways, quoted

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
DATES = _kind("dates read as numbers")
TWO_WAYS = _kind("text written in two ways")
COPY = _kind("input that is the target")
TWO_NUMBERS = _kind("target of two numbers")
SAME = _kind("validation is training")
REPEATED = Kind(name="repeated header", severity="warning", remedy="left out")


def table_doubts(sheets: Sheets, options: CSVOptions, *, of_classes: bool) -> list[Finding]:
    """The findings of all columns.

    Args:
        of_classes: whether the target is a class; else it is a number.
    """
    found = [
        Finding(REPEATED, str(sheet.file.resolve()), f"in line {some(map(str, sheet.repeated), SHOWN)}")
        for sheet in {sheet.file: sheet for sheet in sheets}.values()
        if sheet.repeated
    ]
    where = str(sheets.train.file.resolve())
    return [
        *found,
        *(Finding(kind, where, text) for kind, text in _Look(sheets, options, of_classes).doubts()),
    ]


def note_doubts(sheets: Sheets, options: CSVOptions, *, of_classes: bool) -> None:
    """Say what was left out, and the first doubt, when a search starts."""
    for note in (*table_notes(sheets, options), *notes_on_folds(sheets, options, of_classes=of_classes)):
        add_note(note)
    doubts = table_doubts(sheets, options, of_classes=of_classes)
    if doubts:
        more = f" (and {len(doubts) - 1} more)" if len(doubts) > 1 else ""
        add_note(
            f"{sheets.train.file}: {doubts[0].message}{more}; `tune-search check` shows all that was read"
        )


def table_notes(sheets: Sheets, options: CSVOptions) -> list[str]:
    """Which columns only number the rows."""
    notes = []
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
        yield from self._names(name)
        if self._options.valid_path and (shift := number_shift(name, self._sheets)):
            yield SHIFT, shift.message

    def _of_texts(self, name: str) -> Iterator[tuple[Kind, str]]:
        if pair := in_two_ways(dict.fromkeys(self._train.present(name))):
            alike = " and ".join(map(quoted, pair))
            yield TWO_WAYS, f"column {name!r}: {alike} count as two categories; write them in one way"
        if self._options.valid_path and (shift := text_shift(name, self._sheets)) and not shift.is_error:
            yield SHIFT, shift.message

    def _of_target(self, name: str) -> Iterator[tuple[Kind, str]]:
        yield from self._missing(name, is_target=True)
        if self._of_classes:
            return
        present = set(self._train.numbers(name)[~np.isnan(self._train.numbers(name))].tolist())
        if len(present) == 2 and len(self._train) >= _ENOUGH:
            numbers = " and ".join(f"{number:g}" for number in sorted(present))
            message = f"column {name!r} holds only {numbers}; task: classification predicts classes"
            yield TWO_NUMBERS, message
        if self._options.valid_path and (shift := number_shift(name, self._sheets)):
            yield SHIFT, shift.message

    def _missing(self, name: str, *, is_target: bool = False) -> Iterator[tuple[Kind, str]]:
        """Texts and numbers that usually stand for a missing value."""
        of_class = is_target and self._of_classes
        way_out = ""
        if is_target and self._options.missing_targets != "drop":
            way_out = ", and data.missing_targets: drop leaves these rows out"

        def doubt(alike: Sequence[str], why: str) -> tuple[Kind, str]:
            texts = list(dict.fromkeys(alike))
            rows = f"{len(alike)} of {len(numbers)} rows"
            line = missing_line(texts, self._train.missing)
            return MAYBE_MISSING, (
                f"column {name!r}: {some(map(repr, texts), SHOWN)} in {rows}{why}: {line} reads it as missing"
                f"{way_out}"
            )

        numbers = np.concatenate([sheet.numbers(name) for sheet in self._sheets])
        strays = [text for sheet in self._sheets for text in sheet.strays(name)]
        spelled = [text for text in strays if spells_missing(text)]
        is_meant = self._train.missing == {""} or (of_class and {"+", "-"} <= set(strays))
        if spelled and not is_meant:
            yield doubt(spelled, ", which is used as a class" if of_class else "")
        if of_class and strays:
            return
        for value, low, high in sentinels(numbers):
            rows = [
                (sheet, row) for sheet in self._sheets for row in (sheet.numbers(name) == value).nonzero()[0]
            ]
            alike = [sheet.columns[name][row] for sheet, row in rows]
            yield doubt(alike, f", far from the others ({low:.6g} to {high:.6g})")

    def _names(self, name: str) -> Iterator[tuple[Kind, str]]:
        """Dates, codes and names of the rows that are read as numbers."""
        if np.any(self._train.numbers(name) % 1 > 0):
            return
        texts, options = self._train.present(name), self._options
        different = set(texts)
        ignore = option_line("ignore_columns", {*options.ignore_columns, name})
        codes = [text for text in different if _CODE.fullmatch(text)]
        is_kept = name in options.keep_columns or len(texts) < len(self._train) or len(texts) < _ENOUGH
        if len(different) >= SHOWN and all(_DAYS.fullmatch(text) for text in different):
            what = f"holds dates such as {max(different)}, which are no amounts"
            yield (
                DATES,
                f"column {name!r} {what}: write days since the first one, or leave them out: {ignore}",
            )
        elif codes and all(text.isdecimal() for text in different):
            line = option_line("text_columns", {*options.text_columns, name})
            if category_limit(len(different), len(texts), options):
                line = ignore
            what = f"holds {min(codes)}, which is read as the number {int(min(codes))}"
            yield CODES, f"column {name!r} {what}; if these are codes: {line}"
        elif not is_kept and is_row_name(name) and are_different(texts):
            what = "holds another number in each row"
            yield CODES, f"column {name!r} {what}; if they only name the rows: {ignore}"

    def _copy(self, name: str) -> str:
        """What is said of an input that is the target, or a linear function of it."""
        target, train = self._options.target, self._train
        ignore = option_line("ignore_columns", {*self._options.ignore_columns, name})
        if self._of_classes:
            rows = zip(train.columns[name], train.columns[target], strict=True)
            known = [row for row in rows if train.missing.isdisjoint(row)]
            if len(known) < _ENOUGH or not _are_one_to_one(known):
                return ""
            what = f"tells the target {target!r}, as each of its values stands for one class"
        else:
            if name not in self._numeric or not _is_linear(train.numbers(name), train.numbers(target)):
                return ""
            what = f"is the target {target!r}, or a linear function of it"
        return f"column {name!r} {what}; if it is not known when predicting: {ignore}"


def _are_one_to_one(rows: Sequence[tuple[str, str]]) -> bool:
    """Whether each of two or more texts of one column stands beside one of the other, and the reverse."""
    forth, back = dict[str, str](), dict[str, str]()
    return all(forth.setdefault(a, b) == b and back.setdefault(b, a) == a for a, b in rows) and len(back) > 1


def _is_linear(inputs: np.ndarray, targets: np.ndarray) -> bool:
    known = ~np.isnan(inputs) & ~np.isnan(targets)
    if known.sum() < _ENOUGH:
        return False
    x, y = (values[known] - values[known].mean() for values in (inputs, targets))
    sizes = float(x @ x) * float(y @ y)
    return sizes > 0 and 1 - float(x @ y) ** 2 / sizes < _LINEAR
