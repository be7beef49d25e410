"""The section `budget:`: where a search ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, NonNegativeFloat, model_validator

from search.config.sections.quantities import parse_duration
from search.config.sections.section import Count, Section

COMPUTE = ("full_trainings", "time", "steps", "samples", "gpu_hours")
"""Keys of a budget that limit the compute of a search."""


class SearchPlateau(Section):
    """Ends the search once its best has not improved by more than `min_delta` within `trials` trials."""

    trials: Count
    """Number of trials that ended since; failed ones and those over a limit do not count."""
    min_delta: NonNegativeFloat = 0.0
    """In units of the objective."""


class Budget(Section):
    """Where the search ends: at the first of these.

    With a limit of compute it ends with its best trial trained to full length, if one full training fits.
    """

    trials: Count | None = None
    """Number of trials (default: 24; without a limit of its own where one of compute is given)."""
    max_virtual_epochs: Count = 27
    """Full length of one trial."""
    full_trainings: Annotated[float | None, Field(ge=1, le=10**6)] = None
    """Compute over all trials, as much as so many trials of full length take in virtual epochs."""
    time: Annotated[float | None, BeforeValidator(parse_duration, json_schema_input_type=str | None)] = None
    """Seconds, written as 30m or 1h30m."""
    steps: Count | None = None
    """Optimizer steps over all trials."""
    samples: Count | None = None
    """Training samples over all trials."""
    gpu_hours: Annotated[float | None, Field(gt=0, le=10**6)] = None
    """Hours of training, times `resources.gpus_per_trial`, over all trials."""
    plateau: SearchPlateau | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_an_end(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or given.get("trials") is not None:
            return given
        if any(given.get(limit) is not None for limit in COMPUTE):
            return given
        if "trials" in given:
            raise ValueError(f"trials is null, and no other limit is given; give one of {', '.join(COMPUTE)}")
        return {**given, "trials": 24}

    @property
    def limits_compute(self) -> bool:
        """Whether anything but the number of trials, or a plateau, ends the search."""
        return any(getattr(self, limit) is not None for limit in COMPUTE)

    @property
    def seconds(self) -> float | None:
        """`time` under the name of its unit."""
        return self.time
