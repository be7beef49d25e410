"""The section `resources:` of a configuration: what one trial takes of the machine."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from search.config.sections.followed import entry_for
from search.config.sections.quantities import parse_size
from search.config.sections.section import Count, Section

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
    if problem := _wrong_workers(workers, gpus, cpus):
        raise ValueError(problem)
    return workers


def _wrong_workers(workers: int, gpus: float, cpus: float) -> str:
    if gpus > 1 and gpus != workers:
        each = f"each worker takes one GPU, and gpus_per_trial is {gpus:g}"
        return f"must be {gpus:g}, as {each}; leave it out, or give as many GPUs as workers"
    if workers > 1 and 0 < gpus <= 1:
        each = f"each worker takes one GPU, or none, and gpus_per_trial is {gpus:g}"
        return f"{each}; give gpus_per_trial: {workers}, or leave workers_per_trial out"
    if workers > 1 and cpus < workers:
        each = f"each worker takes a CPU or more, and cpus_per_trial is {cpus:g}"
        return f"{each}; leave cpus_per_trial out, or give {workers} or more"
    return ""


def _one_parameter(where: dict[str, Any]) -> dict[str, Any]:
    if len(where) > 1:
        raise ValueError(
            f"received {' and '.join(where)}; must be one parameter, as of two sizes a trial can have one; "
            "name the one that its size depends on most"
        )
    return where


_Cpus = Annotated[float, Field(ge=_MIN_RESOURCE)]
_Gpus = Annotated[NonNegativeFloat, AfterValidator(_share_or_whole)]
_Memory = Annotated[float | None, BeforeValidator(parse_size, json_schema_input_type=str | None)]
_Accelerator = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^\S+$")]


class Size(Section):
    """What a trial takes in the place of what all others take; the rest is as for them."""

    cpus_per_trial: _Cpus | None = None
    """CPUs of all its processes together."""
    gpus_per_trial: _Gpus | None = None
    """A share of a GPU, or whole GPUs."""
    workers_per_trial: Count | None = None
    """Default: one for each GPU."""
    memory_per_trial: _Memory = None
    """Bytes, written as 2GB, for `batch_size: auto` on a CPU."""
    accelerator: _Accelerator | None = None
    """The kind of GPU as Ray calls it, such as A100."""

    @model_validator(mode="after")
    def _says_something(self) -> Size:
        if not self.model_fields_set:
            raise ValueError(f"is empty; give one of {', '.join(Size.model_fields)}, or remove it")
        return self


class Sized(NamedTuple):
    """The resources of some trials of a search."""

    which: str
    """`model.width 64`; empty for those that no entry of `where` is about."""
    resources: Resources
    """Without `where`."""


class Resources(Section):
    """What one trial takes of the machine, all of its processes together."""

    cpus_per_trial: _Cpus = 1
    """Default: 1 for each worker."""
    gpus_per_trial: _Gpus = 0
    """A share, such as 0.25, puts several trials on one GPU; with 2 a trial has two, one for each worker."""
    workers_per_trial: Annotated[Count, Field(validate_default=True), AfterValidator(_with_resources)] = 1
    """Processes that train a trial together, each with its part of every batch (default: one for each GPU);
    on one host where they fit, or on several."""
    memory_per_trial: _Memory = None
    """Bytes, written as 2GB, that `batch_size: auto` may take on a CPU; on a GPU that is its share of it."""
    accelerator: _Accelerator | None = None
    """The kind of GPU as Ray calls it, such as A100: trials run on hosts with that kind alone."""
    concurrent_trials: Count | None = None
    """Maximum number at a time (default: as many as fit)."""
    where: Annotated[dict[str, dict[str, Size]], AfterValidator(_one_parameter)] = Field(default_factory=dict)
    """A parameter, its options, and what trials with that option take: {model.width: {64: {cpus_per_trial:
    2}}}. Of numbers `at least 64` is the option of 64 and all above."""
    _used: frozenset[tuple[str, str] | None] | None = PrivateAttr(default=None)
    """The entries of `where` that trials of the space have, None among them for trials without any; None
    where that is not known."""

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

    def of(self, options: Mapping[str, Any]) -> Resources:
        """What the trial with these options takes, the resolved section `trial:`."""
        return self.sized(options).resources

    def sized(self, options: Mapping[str, Any]) -> Sized:
        """The same, with the entry of `where` that is about the trial."""
        entry = self._entry(options)
        return self.with_entry(*entry) if entry else Sized("", self._plain({}))

    def with_entry(self, parameter: str, option: str) -> Sized:
        """What trials take that this entry of `where` is about."""
        size = self.where[parameter][option]
        gpus = self.gpus_per_trial if size.gpus_per_trial is None else size.gpus_per_trial
        workers = size.workers_per_trial or (
            int(gpus) if gpus > 1 else 1 if self.gpus_per_trial > 1 else self.workers_per_trial
        )
        given = size.model_dump(exclude_none=True)
        filled = {
            "gpus_per_trial": gpus,
            "workers_per_trial": workers,
            "cpus_per_trial": max(self.cpus_per_trial, workers),
            "accelerator": self.accelerator if gpus else None,
        }
        return Sized(f"{parameter} {option}", self._plain({**filled, **given}))

    def _plain(self, update: Mapping[str, Any]) -> Resources:
        found = self.model_copy(update={**update, "where": {}})
        found._used = None
        return found

    def problem(self) -> tuple[str, str]:
        """The key and the message of what does not go together of plain numbers; empty if all does."""
        message = _wrong_workers(self.workers_per_trial, self.gpus_per_trial, self.cpus_per_trial)
        if message:
            return "workers_per_trial", f"received {self.workers_per_trial}; {message}"
        if self.accelerator is not None and not self.gpus_per_trial:
            rule = "is a kind of GPU, and gpus_per_trial is 0; give gpus_per_trial, or leave it out"
            return "accelerator", f"received {self.accelerator!r}, which {rule}"
        return "", ""

    @property
    def sizes(self) -> Sequence[Sized]:
        """What trials may take, one for all where `where` is empty."""
        entries = [(name, option) for name, options in self.where.items() for option in options]
        used = self._used or {None, *entries}
        own = [Sized("", self._plain({}))] if None in used or not self.where else []
        return own + [self.with_entry(*entry) for entry in entries if entry in used]

    @property
    def used(self) -> Set[tuple[str, str]]:
        """The entries of `where` that trials have, all where that is not known."""
        entries = {(name, option) for name, options in self.where.items() for option in options}
        return entries if self._used is None else entries & self._used

    @property
    def of_any_kind(self) -> Resources:
        """The same on GPUs of any kind, for one machine by itself."""
        where = {
            name: {option: size.model_copy(update={"accelerator": None}) for option, size in options.items()}
            for name, options in self.where.items()
        }
        return self.model_copy(update={"accelerator": None, "where": where})

    @property
    def most_workers(self) -> int:
        """Of a trial of any size."""
        return max(size.resources.workers_per_trial for size in self.sizes)

    @property
    def fewest_gpus(self) -> float:
        """Of a trial of any size; a share counts as one of itself."""
        return min(size.resources.gpus_per_trial for size in self.sizes)

    def without(self, entries: Collection[tuple[str, str]]) -> Resources:
        """The same without these entries of `where`."""
        where = {
            name: {option: size for option, size in options.items() if (name, option) not in entries}
            for name, options in self.where.items()
        }
        return self.model_copy(update={"where": {name: kept for name, kept in where.items() if kept}})

    def narrowed(self, trials: Iterable[Mapping[str, Any]], further: Iterable[tuple[str, str]]) -> Resources:
        """The same, with `sizes` of which there are trials; `of` knows those of an earlier space too.

        Args:
            trials: the options of some that together have all that there are.
            further: entries of `where`, the parameter and its option, which other trials have.
        """
        found = self.model_copy()
        found._used = frozenset({*map(self._entry, trials), *further})
        return found

    def _entry(self, options: Mapping[str, Any]) -> tuple[str, str] | None:
        for name, entries in self.where.items():
            if (option := entry_for(options, name, entries)) is not None:
                return name, option
        return None
