"""What all options are: frozen, typed, without unknown keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Of a loss, metric or transform of the user's, by which it is reported."""


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Options(BaseModel):
    """Frozen, typed, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`horizontal_flip: true` would be 1.0, and flip every image."""
        if isinstance(value, bool) and info.field_name in cls.model_fields:
            kinds = set(_kinds(cls.model_fields[info.field_name].annotation))
            if kinds & {int, float} and not kinds & {bool, Any, object}:
                raise ValueError("must be a number")
        return value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, at the top and in unions and `Annotated`."""
    parts = get_args(annotation)
    if not parts or get_origin(annotation) in (list, tuple, dict, set, frozenset, Literal):
        yield annotation
        yield from ([bool] if any(isinstance(part, bool) for part in parts) else [])
        return
    for part in parts:
        yield from _kinds(part)
