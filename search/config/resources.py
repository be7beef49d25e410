"""The section `resources:` of a configuration: what one trial takes of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    ValidationInfo,
    model_validator,
)

from search.config.quantities import parse_size
from search.config.section import Count, Section

_MIN_RESOURCE = 1e-4
"""Ray counts in ten-thousandths of a CPU or GPU."""


def _share_or_whole(gpus: float) -> float:
    if 0 < gpus < _MIN_RESOURCE:
        raise ValueError(f"must be 0 or at least {_MIN_RESOURCE}")
    if gpus > 1 and not gpus.is_integer():
        raise ValueError("must be at most 1, or a whole number of GPUs, each with a process of the trial")
    return gpus


def _with_resources(workers: int, info: ValidationInfo) -> int:
    """The number, if what each worker takes of the rest is a whole GPU or none, and a CPU at least."""
    gpus, cpus = info.data.get("gpus_per_trial", 0), info.data.get("cpus_per_trial", workers)
    if gpus > 1 and gpus != workers:
        each = f"each worker takes one GPU, and gpus_per_trial is {gpus:g}"
        raise ValueError(f"must be {gpus:g}, as {each}; leave it out, or give as many GPUs as workers")
    if workers > 1 and 0 < gpus <= 1:
        each = f"each worker takes one GPU, or none, and gpus_per_trial is {gpus:g}"
        raise ValueError(f"{each}; give gpus_per_trial: {workers}, or leave workers_per_trial out")
    if workers > 1 and cpus < workers:
        each = f"each worker takes a CPU or more, and cpus_per_trial is {cpus:g}"
        raise ValueError(f"{each}; leave cpus_per_trial out, or give {workers} or more")
    return workers


class Resources(Section):
    """What one trial takes of the machine, all of its processes together."""

    cpus_per_trial: Annotated[float, Field(ge=_MIN_RESOURCE)] = 1
    """Default: 1 for each worker."""
    gpus_per_trial: Annotated[NonNegativeFloat, AfterValidator(_share_or_whole)] = 0
    """A share, such as 0.25, puts several trials on one GPU; with 2 a trial has two, one for each worker."""
    workers_per_trial: Annotated[Count, Field(validate_default=True), AfterValidator(_with_resources)] = 1
    """Processes that train a trial together, each with its part of every batch (default: one for each GPU);
    on one host where they fit, or on several."""
    memory_per_trial: Annotated[
        float | None, BeforeValidator(parse_size, json_schema_input_type=str | None)
    ] = None
    """Bytes, written as 2GB, that `batch_size: auto` may take on a CPU; on a GPU that is its share of it."""
    concurrent_trials: Count | None = None
    """Maximum number at a time (default: as many as fit)."""

    @model_validator(mode="before")
    @classmethod
    def _one_for_each(cls, given: Any) -> Any:
        """Of what is not given: a worker for each GPU, and a CPU for each worker."""
        if not isinstance(given, Mapping):
            return given
        gpus, filled = given.get("gpus_per_trial"), dict(given)
        if isinstance(gpus, int | float) and gpus > 1 and float(gpus).is_integer():
            filled.setdefault("workers_per_trial", int(gpus))
        workers = filled.get("workers_per_trial")
        if isinstance(workers, int) and workers > 1:
            filled.setdefault("cpus_per_trial", workers)
        return filled

    @property
    def of_worker(self) -> Resources:
        """What one process of a trial takes."""
        number = self.workers_per_trial
        each = {
            "cpus_per_trial": self.cpus_per_trial / number,
            "gpus_per_trial": self.gpus_per_trial / number,
        }
        return self.model_copy(update={**each, "workers_per_trial": 1}) if number > 1 else self
