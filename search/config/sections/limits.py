"""The section `limits:`: what a model may cost, so that no step is spent on one that is too large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import BeforeValidator, model_validator

from search.config.sections.quantities import parse_latency, parse_number, parse_size
from search.config.sections.section import Section
from search.errors import KeyPath, Problem
from search.text import number_text
from trainables.options import MEASURED

_Number = Annotated[float | None, BeforeValidator(parse_number, json_schema_input_type=float | str | None)]


class Limits(Section):
    """The most that the model of a trial may have, measured before its first step."""

    parameters: _Number = None
    """Number of parameters, written as 5M."""
    flops: _Number = None
    """Of one sample's forward, written as 10G; a multiplication with its addition counts as two."""
    latency: Annotated[float | None, BeforeValidator(parse_latency, json_schema_input_type=str | None)] = None
    """Seconds of one sample's forward on the trial's device, written as 20ms."""
    memory: Annotated[float | None, BeforeValidator(parse_size, json_schema_input_type=str | None)] = None
    """Bytes that a training step takes of its GPU, written as 2GB."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Limits:
        if not self.names:
            raise ValueError(f"received no limit; must have at least one of {', '.join(MEASURED)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What is limited."""
        return tuple(name for name in MEASURED if getattr(self, name) is not None)

    def excess(self, measured: Mapping[str, float]) -> dict[str, float]:
        """By how much each limit is exceeded, as a share of it; 0 where that was not measured."""
        limits = {name: getattr(self, name) for name in self.names}
        return {name: measured.get(name, limit) / limit - 1.0 for name, limit in limits.items()}

    def beyond(self, measured: Mapping[str, float]) -> str:
        """What is over its limit: `7.2M parameters of at most 5M`; empty where nothing is."""
        over = [name for name, share in self.excess(measured).items() if share > 0]
        texts = ((name, *_told_apart(name, measured[name], getattr(self, name))) for name in over)
        return ", ".join(f"{value} {name} of at most {limit}" for name, value, limit in texts)


def limit_problems(limits: Limits | None, gpus: float) -> Iterator[Problem]:
    """What cannot be measured with `resources.gpus_per_trial` of so many."""
    if limits is not None and limits.memory is not None:
        yield from memory_problem(("limits", "memory"), quantity_text("memory", limits.memory), gpus)


def memory_problem(path: KeyPath, received: str, gpus: float) -> Iterator[Problem]:
    """Why the memory of a training cannot be measured with so many GPUs, if it cannot."""
    if not gpus:
        message = (
            "which is of a GPU, and resources.gpus_per_trial is 0: on a CPU it cannot be told what training "
            "takes beside all else in its process; leave it out, or take parameters"
        )
        yield Problem.of(path, f"received {received}, {message}")


_UNITS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))


def quantity_text(name: str, value: float, digits: int = 3) -> str:
    """A measured quantity with its unit: `7.2M`, `25 ms`, `2.1 GB`."""
    if name == "latency":
        return f"{_plain(value * 1e3, digits)} ms" if value < 1 else f"{_plain(value, digits)} s"
    unit, size = next((unit, size) for unit, size in _UNITS if value >= size or not unit)
    number = _plain(value / size, digits)
    return f"{number} {unit}B" if name == "memory" else f"{number}{unit}"


def measured_text(measured: Mapping[str, float]) -> str:
    """`7.2M parameters, 25 ms latency`."""
    return ", ".join(f"{quantity_text(name, value)} {name}" for name, value in measured.items())


def objectives_text(values: Mapping[str, float]) -> str:
    """`miou 0.7123, latency 25 ms`."""
    return ", ".join(f"{name} {objective_text(name, value)}" for name, value in values.items())


def objective_text(name: str, value: float) -> str:
    """`0.7123` of a metric, `25 ms` of what is measured."""
    return quantity_text(name, value) if name in MEASURED else number_text(value)


def _plain(number: float, digits: int) -> str:
    """The number with so many digits, and no exponent."""
    rounded = float(f"{number:.{digits}g}")
    return f"{rounded:.{digits + 6}f}".rstrip("0").rstrip(".")


def _told_apart(name: str, value: float, limit: float) -> tuple[str, str]:
    """Both with as many digits as show that they differ."""
    texts = ((quantity_text(name, value, n), quantity_text(name, limit, n)) for n in (3, 4, 6, 9, 17))
    return next(((first, second) for first, second in texts if first != second), (f"{value!r}", f"{limit!r}"))
