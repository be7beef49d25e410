"""Tables in CSV files: which file, which column is predicted, and whether it is a class or a number."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.commands.init.recognized import Recognized, UnrecognizedError, remedy
from search.text import command, counted
from trainables.findings import some
from trainables.images.formats import SUFFIXES
from trainables.tables.csv_file import read_csv
from trainables.tables.encode import category_limit
from trainables.tables.options import CSVOptions
from trainables.tables.sheet import Sheet

TABLES = (".csv", ".tsv", ".tab")
COMPRESSED = ("", ".gz", ".bz2", ".xz")
OTHERS = (".parquet", ".xlsx", ".xls", ".feather", ".json", ".jsonl")
"""Tables that must be saved as CSV first."""
TARGETS = ("target", "label", "labels", "class", "y", "outcome", "response", "category")
"""Names of a column that is predicted, in the order of preference."""
MOST_CLASSES = 20
"""Different whole numbers up to which a target of numbers is taken for classes."""
_TRIES = 8


def is_table(path: Path) -> bool:
    name = path.name.lower()
    return not name.startswith(".") and any(
        name.endswith(end + zipped) for end in TABLES for zipped in COMPRESSED
    )


def tables_in(folder: Path, given: str) -> Recognized | None:
    """The table of a folder, or its two for training and validation; None where there is none.

    Raises:
        UnrecognizedError: there are several, or the one cannot be read.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and is_table(path))
    if not files:
        return None
    stems = {path.name.split(".")[0].lower(): path for path in files}
    train = next((stems[name] for name in ("train", "training") if name in stems), None)
    valid = next((stems[name] for name in ("val", "valid", "validation") if name in stems), None)
    test = stems.get("test")
    if train is None and len(files) > 1:
        first = command("init", files[0])
        raise UnrecognizedError(
            f"{folder}: holds {len(files)} tables, {some([path.name for path in files])}, and none is called "
            f"train: give one of them, as `{first}`"
        )
    file = train or files[0]
    found = table_of(file, str(Path(given, file.name)), test=test if train else None)
    if valid is not None and train is not None:
        reason = "for validation, so nothing is split off"
        found = found.changed({"valid_path": str(Path(given, valid.name))}, reason)
    return found


def table_of(file: Path, given: str, test: Path | None = None) -> Recognized:
    """A table in a file.

    Args:
        test: a table that may lack the column that is to be predicted.

    Raises:
        UnrecognizedError: it cannot be read, or no column can be predicted.
    """
    data: dict[str, Any] = {"source": "csv", "path": given}
    reasons: dict[str, str] = {}
    sheet = _read(file, data, reasons)
    _refuse_image_names(sheet, file)
    target, why = _target(sheet, test)
    of_classes, because = _is_class(sheet, target)
    data["target"] = target
    reasons |= {
        "path": f"{counted(len(sheet), 'row')}, {len(sheet.columns)} columns",
        "target": f"{why}; {because}",
    }
    if missing := sum(text in sheet.missing for text in sheet.columns[target]):
        data["missing_targets"] = "drop"
        reasons["missing_targets"] = f"{counted(missing, 'row')} without a target"
    return Recognized("table", "classification" if of_classes else "regression", data, reasons)


def _read(file: Path, data: dict[str, Any], reasons: dict[str, str]) -> Sheet:
    """The rows, read with what the errors of the file say to set; that is added to `data`."""
    failure = ""
    for _ in range(_TRIES):
        options = CSVOptions.model_validate(
            {"target": "target"} | {name: value for name, value in data.items() if name != "source"}
        )
        try:
            sheet = read_csv(file, options)
            hints = (sheet.hint(sheet.present(name)) for name in sheet.columns if sheet.strays(name))
            if not (change := next((found for hint in hints if (found := remedy(hint, data))), {})):
                return sheet
            data |= change
            reasons |= dict.fromkeys(change, "as numbers are written in it")
        except ValidationError as error:
            failure = str(error)
            break
        except ValueError as error:
            failure = str(error)
            change = remedy(failure, data)
            if not change and "set data.encoding, such as cp1252" in failure and "encoding" not in data:
                change = {"encoding": "cp1252"}
            if not change:
                break
            data |= change
            reasons |= dict.fromkeys(change, failure.removeprefix(f"{file}: ").partition(";")[0])
    raise UnrecognizedError(failure)


def _refuse_image_names(sheet: Sheet, file: Path) -> None:
    for name, texts in sheet.columns.items():
        if texts and all(text.lower().endswith(SUFFIXES) for text in texts[:20]):
            raise UnrecognizedError(
                f"{file}: column {name!r} holds names of images, such as {texts[0]!r}, and images are not "
                "read from a table: put the images of each class into a folder of its name, or make shards "
                "(python -m trainables.shards)"
            )


def _target(sheet: Sheet, test: Path | None) -> tuple[str, str]:
    """The column to predict, and by which rule it was chosen.

    Raises:
        UnrecognizedError: no column can be.
    """
    names = [name for name in sheet.columns if name not in sheet.row_numbers]
    usable = [name for name in names if _may_be_target(sheet, name)]
    if not usable or len(names) < 2:
        raise UnrecognizedError(
            f"{sheet.file}: no column can be predicted from others: each of {some(names)} is a name of the "
            "row or has one value; add one with classes or numbers"
        )
    if test is not None:
        lacking = [name for name in usable if name not in _header(test, sheet.delimiter)]
        if len(lacking) == 1:
            return lacking[0], f"{test.name} lacks it"
    folded = {name.lower().strip(): name for name in reversed(usable)}
    for wanted in TARGETS:
        if wanted in folded:
            return folded[wanted], f"by its name{_instead(usable, folded[wanted])}"
    last = usable[-1]
    why = "the last column" if last == names[-1] else "the last column that has classes or numbers"
    return last, f"{why}, as none is called {', '.join(TARGETS[:4])}{_instead(usable, last)}"


def _instead(usable: Sequence[str], chosen: str) -> str:
    others = [name for name in usable if name != chosen]
    return f" (or {some(others, 3)})" if others else ""


def _header(file: Path, delimiter: str) -> list[str]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            return next(csv.reader(text, delimiter=delimiter), [])
    except (OSError, UnicodeError, csv.Error):
        return []


def _may_be_target(sheet: Sheet, name: str) -> bool:
    """Whether it varies, and is a number or one of a few texts."""
    present = sheet.present(name)
    if len(set(present)) < 2:
        return False
    if not sheet.strays(name):
        return True
    options = CSVOptions(path="-", target="-")
    return not category_limit(len(set(present)), len(present), options)


def _is_class(sheet: Sheet, target: str) -> tuple[bool, str]:
    """Whether the target is a class, and why."""
    held = set(sheet.present(target))
    if sheet.strays(target):
        return True, f"{len(held)} texts, so a class"
    numbers = set(
        sheet.numbers(target)[[text not in sheet.missing for text in sheet.columns[target]]].tolist()
    )
    whole = all(number == int(number) for number in numbers)
    few = len(numbers) <= min(MOST_CLASSES, max(2, len(sheet) // 5))
    if len(numbers) == 2 or (whole and few):
        return True, f"{len(numbers)} different numbers, so a class (for an amount: task: regression)"
    return False, "numbers, so an amount"
