"""The `data:` of a table in a CSV file; each task has its own target."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from trainables.options import Options

ValidFraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Name = Annotated[str, Field(min_length=1)]


class SplitOptions(Options):
    """Which rows or images are for validation."""

    valid_fraction: ValidFraction = 0.2
    """Share that is kept for validation."""
    split_seed: NonNegativeInt = 0


class CSVOptions(SplitOptions):
    """A file in UTF-8 whose first row names the columns.

    A column is of numbers if most cells of the training rows are; any other cell in it is then an error.
    Numbers are standardized by mean and deviation of the training rows, and missing ones are that mean. Texts
    become one column for each that the training rows hold, and one for all others. Columns without
    variation in the training rows are left out.
    """

    path: Name
    """Relative to where the search was started."""
    target: Name
    """Name of the column that is to be predicted."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    """Between cells; "\\t" for a tabulator."""
    valid_path: Name | None = None
    """A second file with the same columns, for validation; with it nothing is split off."""
    ignore_columns: tuple[Name, ...] = ()
    """Columns that must not help, such as a row's number."""
    text_columns: tuple[Name, ...] = ()
    """Columns of numbers that are names, such as postal codes."""
    missing: tuple[str, ...] = ("NA", "N/A", "NaN", "nan", "null")
    """Texts that stand for a missing number, besides the empty one."""
    max_categories: PositiveInt = 100
    """More different texts than these in one column are an error: it is probably a name of the row."""
