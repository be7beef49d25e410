"""What all sections of a configuration are."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0, le=10**15)]
CountOrZero = Annotated[int, Field(ge=0, le=10**15)]
"""The limit keeps sums and products of two of them far below the largest float."""


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
