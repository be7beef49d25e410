"""The section `sampler:` of a configuration: where the next hyperparameters come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, Tag, model_validator

from search.config.sections.section import CountOrZero, Section
from trainables.imported import check_path
from trainables.imported_options import BUILT_IN_OR_IMPORTED, IMPORTED, PATH

Scores = Literal["halving", "capped"]
Kernels = Literal["gaps", "one_width"]


class Sampler(Section):
    """Where the next hyperparameters come from."""

    name: Literal["tpe", "gp", "qmc", "random", "grid"] = "tpe"
    """tpe: Parzen estimators of all parameters together. gp: a Gaussian process. qmc: a scrambled Sobol
    sequence. random: independent draws. grid: every combination of choices and steps once."""
    seed: NonNegativeInt = 0
    """What a trial draws is a function of this seed, its number and the study."""
    points_to_evaluate: list[dict[str, Any]] = Field(default_factory=list)
    """Known good points, tried first: partial trials, or dotted names such as optimizer.lr."""
    startup_trials: CountOrZero = 10
    """Random trials of tpe and gp before their model is used."""
    scores: Scores | None = None
    """What tpe and gp learn from. halving: first how deep a rung a trial has reached, then its objective.
    capped: depth counts only up to the deepest rung that 30 trials have reached. None: what the run began
    with, and of a new one the default."""
    kernels: Kernels | None = None
    """How wide the kernels of tpe are. one_width: all alike, by the number of observations and of dimensions
    (Scott's rule). gaps: as the gap to the next observation in each dimension by itself (Optuna). None: what
    the run began with, and of a new one one_width."""

    @model_validator(mode="after")
    def _kernels_of_tpe(self) -> Sampler:
        if self.kernels is not None and self.name != "tpe":
            raise ValueError(f"{self.name} has no kernels, of which tpe draws; leave `kernels` out")
        return self


class ImportedSampler(Section):
    """A sampler of Optuna's interface by its path; keys besides the fields are its arguments.

    It is made anew for each trial, with a seed of its own if it takes one, and sees each earlier trial once,
    with a score to be maximized. One that keeps a state between trials, as CMA-ES does, is refused.
    """

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(check_path), PATH]
    """`package.module:Class`, such as `optuna.samplers:TPESampler`."""
    seed: NonNegativeInt = 0
    """As for built-in samplers; a class that takes a `seed` gets one for each trial."""
    points_to_evaluate: list[dict[str, Any]] = Field(default_factory=list)
    """As for built-in samplers."""
    scores: Scores | None = None
    """As for built-in samplers."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments: all keys that are no fields here."""
        return dict(self.model_extra or {})


AnySampler = Annotated[
    Annotated[Sampler, Tag("built_in")] | Annotated[ImportedSampler, IMPORTED], BUILT_IN_OR_IMPORTED
]
