"""The `data:` of a table in a CSV file; each task has its own target."""

from __future__ import annotations

import codecs
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from trainables.base_options import VALIDATES
from trainables.folds.options import ColumnFolds, FoldOptions
from trainables.tables.numbers import Notation

ValidFraction = Annotated[float, Field(gt=0.0, lt=1.0), VALIDATES]
Name = Annotated[str, Field(min_length=1)]

MISSING = (
    *("NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"),
    *("#N/A N/A", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
)
"""What pandas.read_csv takes for missing."""


def _unescaped(delimiter: Any) -> Any:
    """A tabulator as shells and people write it."""
    return "\t" if delimiter in ("\\t", "tab") else delimiter


class SplitOptions(FoldOptions):
    """Which rows or images are for validation."""

    valid_fraction: ValidFraction = 0.2
    """Share that is kept for validation where there are no `folds`."""


class CSVOptions(ColumnFolds, SplitOptions):
    """A file, plain or compressed by gzip, bzip2 or xz, whose first row names the columns.

    A column is of numbers if most cells of the training rows are; any other cell in it is then an error.
    Numbers are standardized by mean and deviation of the training rows, and missing ones are that mean. Texts
    become one column for each that the training rows hold, one of them for missing texts, and one for all
    others. Columns without variation in the training rows are left out, and so are those that only name the
    rows: a first column without a name, as pandas and R write it, and one such as `id` that counts them.
    With `folds` the name of a row is what its cells besides the target hold, so that rows that are repeated
    are in one fold.
    """

    path: Name
    """Relative to where the search was started."""
    target: Name
    """Name of the column that is to be predicted."""
    delimiter: (
        Annotated[
            str, Field(min_length=1, max_length=1), BeforeValidator(_unescaped, json_schema_input_type=str)
        ]
        | None
    ) = None
    """Between cells; "\\t" or tab for a tabulator. None: comma, semicolon, tabulator or |, the first that
    splits the first rows into equally many cells."""
    valid_path: Annotated[Name | None, VALIDATES] = None
    """A second file with the same columns, for validation; with it nothing is split off."""
    ignore_columns: tuple[Name, ...] = ()
    """Columns that must not help, such as a row's number."""
    keep_columns: tuple[Name, ...] = ()
    """Inputs, although they only number the rows."""
    text_columns: tuple[Name, ...] = ()
    """Columns of numbers that are names, such as postal codes."""
    missing: tuple[str, ...] = MISSING
    """Texts that stand for a missing value, besides the empty one and those of pandas; [] takes none."""
    missing_targets: Annotated[Literal["error", "drop"], VALIDATES] = "error"
    """What becomes of rows without a target."""
    decimal: Literal[".", ","] = "."
    """Before the decimals of a number."""
    thousands: Literal["", ",", ".", " ", "'"] = ""
    """Between groups of three digits of a number."""
    comment: Annotated[str, Field(min_length=1)] | None = None
    """Lines that begin with it are left out, such as "#"."""
    encoding: Name | None = None
    """Such as cp1252, which Excel writes in Western Europe; without it UTF-8, or UTF-16 with its mark."""
    max_categories: PositiveInt = 100
    """More different texts than these in one column are an error: it is probably a name of the row."""
    max_category_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """The same for more different texts than this share of the training rows, if they are more than ten."""

    @field_validator("missing")
    @classmethod
    def _added(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*MISSING, *texts))) if texts else ()

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError("must be an encoding that Python knows, such as utf-8 or cp1252") from None
        return encoding

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands are both {self.decimal!r}; they must differ")
        return self

    @model_validator(mode="after")
    def _folds_of_one_file(self) -> Self:
        if self.folds is not None and self.valid_path is not None:
            raise ValueError(
                f"folds is {self.folds} and valid_path {self.valid_path}; folds are made of one file: put "
                "the rows of both into path, or leave folds out"
            )
        if self.group is not None and self.group == self.target:
            raise ValueError(f"group is the target {self.target!r}; must be another column")
        return self

    @property
    def notation(self) -> Notation:
        """How numbers are written."""
        return Notation(self.decimal, self.thousands)
