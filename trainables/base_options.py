"""What all options are: frozen, typed, without unknown keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Of a loss, metric or transform of the user's, by which it is reported."""


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


@dataclass(frozen=True)
class Validates:
    """Marks a field that decides what is validated: values of trials that differ in it do not compare."""

    with_folds: bool = False
    """Only with `folds`, which are made of what the field names; without them it says what is trained on."""


VALIDATES = Validates()
VALIDATES_WITH_FOLDS = Validates(with_folds=True)


class Options(BaseModel):
    """Frozen, typed, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def decides_validation(options: Options) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of each field below that is marked with `Validates`, and means something here."""
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        marks = [mark for mark in field.metadata if isinstance(mark, Validates)]
        if any(not mark.with_folds or getattr(options, "folds", None) is not None for mark in marks):
            yield (name,), value
        if isinstance(value, Options):
            for path, inner in decides_validation(value):
                yield (name, *path), inner
