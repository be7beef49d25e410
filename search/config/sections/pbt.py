"""The section `scheduler:` of population based training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, field_validator

from search.config.sections.section import Count, Section


class Pbt(Section):
    """Population based training (Jaderberg et al., arXiv:1711.09846).

    The trials, `budget.trials` of them, are a population whose worst members go on from checkpoints of the
    best, with values that have changed.
    """

    name: Literal["pbt"] = "pbt"
    """Values change while trials are trained."""
    axis: ClassVar[Literal["virtual_epochs"]] = "virtual_epochs"
    audit: ClassVar[int] = 0
    interval: Count = 3
    """Virtual epochs from one comparison to the next."""
    quantile: Annotated[float, Field(gt=0.0, le=0.5)] = 0.25
    """Share of the trials, rounded up, that go on from another one, each from one of as many best."""
    resample: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    """Probability with which a value is drawn from its domain again instead of being perturbed."""
    perturb: list[PositiveFloat] = Field(
        default_factory=lambda: [0.8, 1.2], json_schema_extra={"minItems": 2}
    )
    """Factors of which a number is multiplied by one, some below 1 and some above; a choice moves to a
    neighbour."""
    hyperparameters: list[str] | None = None
    """Names of the parameters that change (default: numbers of optimizer, lr_schedule, loss, augment,
    clip_norm and ema, and dropout rates). All others are taken over as they are."""

    @field_validator("perturb")
    @classmethod
    def _both_ways(cls, factors: list[float]) -> list[float]:
        """Values that could move in one direction only would drift to that end of their domain."""
        if not (factors and min(factors) < 1.0 < max(factors)):
            raise ValueError(
                f"received {factors}; must have a factor below 1 and one above 1, so that values can fall "
                "and rise, such as [0.8, 1.2]"
            )
        return factors
