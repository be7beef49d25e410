"""What a check is, and what becomes of it: a line of the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Figure:
    """What a check has measured. It has passed where `value` is at most `limit`, and at least `least`."""

    value: float
    unit: str
    limit: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Not where the value is not a number."""
        above = self.limit is None or self.value <= self.limit
        below = self.least is None or self.value >= self.least
        return not math.isnan(self.value) and above and below

    @property
    def bounds(self) -> str:
        """The limit in words; `reported` where there is none."""
        most = [] if self.limit is None else [f"<= {self.limit:.3g}"]
        least = [] if self.least is None else [f">= {self.least:.3g}"]
        return ", ".join([*least, *most]) or "reported"


class Skip(Exception):  # noqa: N818  # not an error
    """Raised by a check that cannot be made here; its text is the reason."""


@dataclass(frozen=True)
class Context:
    """Where checks are made."""

    device: torch.device

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table."""

    name: str
    """`what/task/precision`; `--only` takes a part from the beginning."""
    shows: str
    run: Callable[[Context], Figure]
    """May raise Skip; any other exception is a failed line."""
    seconds: float = 40.0
    """It is ended after that time."""
    needs_gpu: bool = False
    fresh: bool = False
    """In a process of its own: it may spoil the CUDA context, or bounds the process's memory."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """What became of a check."""

    check: str
    shows: str
    status: Status
    figure: str = ""
    limit: str = ""
    note: str = ""
    """Of one that was skipped or has failed, why."""
    value: float | None = None
    seconds: float = 0.0


def failed(check: Check, reason: str, seconds: float = 0.0) -> Line:
    """The line of a check that could not be ended."""
    return Line(
        check=check.name, shows=check.shows, status=Status.FAILED, note=reason, seconds=round(seconds, 2)
    )


def skipped(check: Check, reason: str) -> Line:
    """The line of a check that was not made."""
    return Line(check=check.name, shows=check.shows, status=Status.SKIPPED, note=reason)


def made(check: Check, figure: Figure, seconds: float) -> Line:
    """The line of a check that has measured something."""
    return Line(
        check=check.name,
        shows=check.shows,
        status=Status.PASSED if figure.passed else Status.FAILED,
        figure=f"{figure.value:.3g} {figure.unit}".strip(),
        limit=figure.bounds,
        note=figure.note,
        value=figure.value if math.isfinite(figure.value) else None,
        seconds=round(seconds, 2),
    )


def make(check: Check, context: Context, clock: Callable[[], float]) -> Line:
    """Make one check in this process; whatever it raises becomes its line."""
    began = clock()
    if check.needs_gpu and not context.on_gpu:
        return skipped(check, "there is no GPU here")
    try:
        return made(check, check.run(context), clock() - began)
    except Skip as reason:
        return skipped(check, str(reason))
    except Exception as error:
        text = str(error).strip().splitlines()
        return failed(check, f"{type(error).__name__}: {text[0] if text else ''}", clock() - began)


def as_values(line: Line) -> dict[str, Any]:
    """For JSON."""
    return {name: str(value) if isinstance(value, Status) else value for name, value in vars(line).items()}
