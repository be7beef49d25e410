"""The sections of a configuration besides `trial:`, typed and frozen; an unknown key is an error."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from search.config.sections.budget import Budget as Budget
from search.config.sections.limits import Limits
from search.config.sections.loggers import Logger, Notify, as_notify
from search.config.sections.pbt import Pbt as Pbt
from search.config.sections.plateau import Plateau as Plateau
from search.config.sections.priors import AnyPriors
from search.config.sections.quantities import parse_duration
from search.config.sections.resources import Resources as Resources
from search.config.sections.sampler import AnySampler
from search.config.sections.sampler import Sampler as Sampler
from search.config.sections.section import Count, CountOrZero, Section
from trainables.data.virtual_epoch import Unit
from trainables.options import Mode as Mode
from trainables.storage.address import checked_address

Axis = Literal["virtual_epochs", "steps", "samples"]
_Duration = Annotated[float | None, BeforeValidator(parse_duration, json_schema_input_type=str | None)]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_name(name: str) -> str:
    """The name of a run or stage, which is that of a folder.

    Raises:
        ValueError: it cannot be.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("must be at most 80 letters, digits, '.', '_' and '-', the first a letter or digit")
    return name


def name_of_file(stem: str) -> str:
    """A name for a run from that of its file: letters without accents, and a dash for all else.

    `größe` becomes grosse, `seg config (copy)` seg-config-copy. What has no such letter stays as it is.
    """
    plain = unicodedata.normalize("NFKD", stem.replace("ß", "ss"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    usable = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:80]
    return usable or stem


class Objective(Section):
    """What makes one trial better than another."""

    metric: Annotated[str, Field(min_length=1)]
    """A name that the task's metrics return."""
    mode: Mode
    """max: larger values are better. min: smaller ones."""
    window: Count | None = None
    """Successive virtual epochs by whose best mean trials are compared; a trial's best checkpoint is that of
    the last of them. Rungs compare single reports. Default: a fifth of `max_virtual_epochs`, from 1 to 10;
    never more than that, or than a trial has reports before `plateau.patience` ends it."""


class VirtualEpoch(Section):
    """The length of a virtual epoch, in exactly one unit."""

    steps: Count | None = None
    """Optimizer steps."""
    samples: Count | None = None
    """Training samples, rounded up to whole steps."""
    epochs: Count | None = None
    """Passes over the training data."""

    @model_validator(mode="after")
    def _exactly_one(self) -> VirtualEpoch:
        given = [key for key in ("steps", "samples", "epochs") if getattr(self, key) is not None]
        if len(given) != 1:
            received = " and ".join(given) or "none of them"
            raise ValueError(f"received {received}; must be exactly one of steps, samples and epochs")
        return self

    @property
    def unit(self) -> Unit:
        """What `count` counts."""
        return "steps" if self.steps is not None else "samples" if self.samples is not None else "epochs"

    @property
    def count(self) -> int:
        """Steps, samples or epochs in one virtual epoch."""
        return int(getattr(self, self.unit))


ReductionFactor = Annotated[int, Field(ge=2, le=10**15)]


class _Audited(Section):
    audit: CountOrZero = 0
    """Trials, chosen by the seed whatever their values, that are let through to full length, so that the
    fidelity audit rests on more than survivors; the first ones, where the number of trials is open."""


class _Asha(_Audited):
    grace_period: Count = 1
    """The first rung, in units of `axis`."""
    reduction_factor: ReductionFactor = 3
    """One in N trials continues from each rung, and each rung is N times longer than the last."""
    axis: Axis = "virtual_epochs"
    """What rungs are counted in."""


class Asha(_Asha):
    """Asynchronous successive halving by promotion (Li et al., arXiv:1810.05934): trials pause at rungs."""

    name: Literal["asha"] = "asha"
    """The default, also of a section without `name`."""
    grace_period: Count | Literal["auto"] = "auto"  # type: ignore[assignment]
    """auto: the first of the rungs from 1 on that lies beyond the warm-up that all trials have and whose
    ranks agree with those at the deepest one, as measured during the search; 1 where rungs are not counted
    in virtual epochs, and with several objectives."""


class AshaStop(_Asha):
    """Asynchronous successive halving by stopping: a trial ends at a rung where it is not among the best."""

    name: Literal["asha_stop"] = "asha_stop"
    """ASHA without pauses."""


class _OnVirtualEpochs(_Audited):
    axis: ClassVar[Axis] = "virtual_epochs"


class Hyperband(_OnVirtualEpochs):
    """Several successive halvings with different first rungs (Li et al., arXiv:1603.06560)."""

    name: Literal["hyperband"] = "hyperband"
    """Trials are spread over the halvings by their numbers."""
    grace_period: Count = 1
    """The smallest first rung, in virtual epochs."""
    reduction_factor: ReductionFactor = 3
    """As for asha; the first rung of each halving is N times that of the one before, too."""


class Median(_OnVirtualEpochs):
    """Ends a trial whose best is below the median of earlier trials at the same virtual epoch."""

    name: Literal["median"] = "median"
    """The median stopping rule, of Optuna."""
    startup_trials: CountOrZero = 5
    """Trials of full length before any trial is ended."""
    grace_period: CountOrZero = 0
    """Virtual epochs in which no trial is ended."""


class Percentile(_OnVirtualEpochs):
    """As median, with another quantile of the earlier trials."""

    name: Literal["percentile"] = "percentile"
    """The rule of median at another quantile."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 25.0
    """The best 25 % continue."""
    startup_trials: CountOrZero = 5
    """Trials of full length before any trial is ended."""
    grace_period: CountOrZero = 0
    """Virtual epochs in which no trial is ended."""


class NoScheduler(_OnVirtualEpochs):
    """Every trial runs to its full length."""

    name: Literal["none"] = "none"
    """No early stopping."""


DEFAULT_SCHEDULER = "asha"


def _asha_unless_named(value: Any) -> Any:
    return (
        {"name": DEFAULT_SCHEDULER, **value} if isinstance(value, Mapping) and "name" not in value else value
    )


Scheduler = Annotated[
    Annotated[
        Asha | AshaStop | Hyperband | Median | Percentile | Pbt | NoScheduler, Field(discriminator="name")
    ],
    BeforeValidator(_asha_unless_named),
]


class Stage(Section):
    """One of several searches in turn; its sections are merged over those of the whole configuration."""

    name: Annotated[str, AfterValidator(check_name)]
    """Its folder is stages/NUMBER-NAME in that of the run."""
    trial: dict[str, Any] = Field(default_factory=dict)
    """Domains and other values of this stage."""
    budget: dict[str, Any] = Field(default_factory=dict)
    sampler: dict[str, Any] = Field(default_factory=dict)
    scheduler: dict[str, Any] = Field(default_factory=dict)
    plateau: dict[str, Any] | None = None


def _other_names(stages: list[Stage]) -> list[Stage]:
    names = [stage.name for stage in stages]
    repeated = [name for index, name in enumerate(names) if name in names[:index]]
    if repeated:
        raise ValueError(f"two stages have the name {repeated[0]!r}; give each another")
    return stages


class Checkpoint(Section):
    """Checkpoints of a trial."""

    every: Count = 1
    """Virtual epochs from one checkpoint to the next."""
    keep: Count = 2
    """Checkpoints that a trial keeps: the best one, and the newest besides it."""
    keep_trials: Count = 5
    """Number of best trials that keep checkpoints, beside those that may still continue."""


class Confirm(Section):
    """After a search its best trials race over seeds at full length, so that luck does not decide."""

    top: Count = 3
    """Number of best trials that race."""
    seeds: Annotated[int, Field(ge=2, le=1000)] = 5
    """Seeds of `trial.seed`, one a round, the same for all."""
    error: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.05
    """Chance that one as good as the leader leaves after a round, by a paired t-test, all together."""


class StageSections(Section):
    """The sections of one search; `trial` as it stands in the source, with its domains."""

    name: Annotated[str, AfterValidator(check_name)]
    """Name of the run and of its folder under results/."""
    task: Annotated[str, Field(min_length=1)]
    """Built in, or package.module:Class."""
    objective: Objective
    """Of `objectives` the first."""
    objectives: Annotated[list[Objective], Field(min_length=2, max_length=8)] | None = None
    """Several, in the place of `objective`: trials are compared by non-domination, and the search ends with a
    front. Metrics are those that the task reports, or parameters, flops, latency and memory."""
    trial: dict[str, Any]
    virtual_epoch: VirtualEpoch
    budget: Budget = Budget()
    sampler: AnySampler = Sampler()
    scheduler: Scheduler = Asha()
    plateau: Plateau | None = None
    limits: Limits | None = None
    """What the model of a trial may have at most; a trial over it is not trained."""
    resources: Resources = Resources()
    checkpoint: Checkpoint = Checkpoint()
    storage: Annotated[str, AfterValidator(checked_address)] | None = None
    """Address under which the run is kept too, as NAME below it, so that another machine can go on:
    s3://bucket/runs, gs://bucket/runs or file:///mnt/runs."""
    max_failures: CountOrZero = 2
    """Number of times that a failed trial is retried."""
    max_failed_trials: Count = 5
    """Number of failed trials in a row with the same cause after which the run ends."""
    timeout: _Duration = None
    """Seconds that a virtual epoch may take, written as 10m (default: ten times the slowest so far)."""

    @model_validator(mode="before")
    @classmethod
    def _first_objective(cls, given: Any) -> Any:
        several = given.get("objectives") if isinstance(given, Mapping) else None
        if not isinstance(several, list) or not several or "objective" in given:
            return given
        return {**given, "objective": several[0]}


class Sections(StageSections):
    """A whole configuration."""

    stages: Annotated[list[Stage], AfterValidator(_other_names)] = Field(default_factory=list)
    """Searches in turn, each starting from the best trial of the one before; empty for one search."""
    confirm: Confirm | None = None
    """What follows the search, or the last stage."""
    priors: AnyPriors | None = None
    """Where domains without a prior of their own get one from; config.yaml has them beside the domains."""
    log: list[Logger] = Field(default_factory=list)
    """Where the search is also written to, by processes of their own: `[mlflow]`, `[wandb]`, `[trackio]`."""
    notify: Annotated[
        Notify | None, BeforeValidator(as_notify, json_schema_input_type=str | list[str] | Notify | None)
    ] = None
    """Who is told of the end, a failure and a new best: addresses as Apprise has them."""
