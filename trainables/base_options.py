"""What all options are: frozen, typed, without unknown keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""Of a loss, metric or transform of the user's, by which it is reported."""


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Options(BaseModel):
    """Frozen, typed, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
