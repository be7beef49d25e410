"""The keys of `data:` that ask for folds."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from trainables.base_options import VALIDATES, Options

FOLDER = "folder"
"""In `group`: the folder that holds an image."""


class FoldOptions(Options):
    """A cross-validation of which a trial sees one split."""

    numbers_other_folds: ClassVar[bool] = False
    """`fold` means something without `folds` too."""

    folds: Annotated[Annotated[int, Field(ge=2, le=1000)] | None, VALIDATES] = None
    """Number of parts into which all samples are divided, by a hash of each one's name: a new sample moves no
    other. One of them is for validation and the others for training, in place of `valid_fraction`;
    `retrain --fold all` trains on each. None: one split."""
    fold: Annotated[NonNegativeInt, VALIDATES] = 0
    """Which of the `folds` is for validation, from 0."""
    split_seed: Annotated[NonNegativeInt, VALIDATES] = 0
    """Of the hash of names, or of the random split, by which samples are kept for validation."""

    @model_validator(mode="after")
    def _fold_of_folds(self) -> Self:
        if self.folds is not None and self.fold >= self.folds:
            raise ValueError(
                f"fold is {self.fold} and folds {self.folds}; folds are numbered from 0 to {self.folds - 1}"
            )
        if self.folds is None and self.fold and not self.numbers_other_folds:
            raise ValueError(f"fold is {self.fold} and there are no folds: set folds, or leave fold out")
        if self.folds is not None and getattr(self, "valid_fraction", _FRACTION) != _FRACTION:
            raise ValueError(
                f"valid_fraction has no meaning with folds, of which each validates one of {self.folds}: "
                "leave it out"
            )
        if self.folds is None and self.split_seed and not hasattr(self, "valid_fraction"):
            raise ValueError("split_seed has no effect without folds: set folds, or leave split_seed out")
        if self.folds is None and getattr(self, "group", None) is not None:
            raise ValueError("group has no effect without folds: set folds, or leave group out")
        return self


_FRACTION = 0.2
"""The default of `valid_fraction`."""


class NameFolds(FoldOptions):
    """Folds of samples that have names: files, and what shards hold."""

    group: Annotated[Annotated[str, Field(min_length=1)] | None, VALIDATES] = None
    """What keeps samples together in one fold, as the slices of a patient: a regular expression with one pair
    of parentheses, whose text in each name is the group, as '(patient\\d+)_'; or `folder`, the folder that
    holds the image. A name is the path of the image below the root, or the key in a shard. None: each sample
    by itself."""

    @field_validator("group")
    @classmethod
    def _of_one_group(cls, group: str | None) -> str | None:
        if group is None or group == FOLDER:
            return group
        way_out = "such as '(patient\\d+)_', or folder"
        try:
            number = re.compile(group).groups
        except re.error as error:
            raise ValueError(f"is no regular expression ({error}); must be one, {way_out}") from None
        if number != 1:
            raise ValueError(
                f"has {number} pairs of parentheses; must be a regular expression with one pair, {way_out}"
            )
        return group


class ColumnFolds(FoldOptions):
    """Folds of rows."""

    group: Annotated[Annotated[str, Field(min_length=1)] | None, VALIDATES] = None
    """Name of a column whose text keeps rows together in one fold, as a patient's number; in a table it is
    no input then. None: each row by itself."""
