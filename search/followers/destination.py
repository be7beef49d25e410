"""What is written elsewhere of a run, and the interface of where it is written to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Status(Enum):
    """What a search or trial is doing, as loggers have it."""

    RUNNING = "running"
    WAITING = "waiting"
    """Paused while the search runs."""
    FINISHED = "finished"
    """Completed, stopped, diverged or over a limit."""
    FAILED = "failed"
    KILLED = "killed"
    """The search has ended before it: the search can be resumed."""


@dataclass(frozen=True)
class Point:
    """The metrics of one virtual epoch."""

    step: int
    """Optimizer steps of the trial; of a search, of all trials together."""
    at: float
    """When, in seconds since 1970."""
    values: Mapping[str, float]
    """Finite ones only; the objective comes last."""


@dataclass(frozen=True)
class Followed:
    """A search, or one of its trials, as it should be found at the destination."""

    id: str
    """Derived from the run's study and the trial: letters, digits and dashes, at most 64."""
    name: str
    config: Mapping[str, Any]
    """Of a search its configuration; of a trial its parameters, those that it has."""
    points: Sequence[Point]
    status: Status
    state: str
    """In the words of `tune-search show`."""
    reason: str = ""
    """Why it has ended; of one that failed, its cause."""
    began: float = 0.0
    """When its first job began, in seconds since 1970; 0 where that is not known."""
    heard_of: float = 0.0
    """When it was last heard of."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of it, such as the best trial; may change."""

    @property
    def has_ended(self) -> bool:
        return self.status not in (Status.RUNNING, Status.WAITING)

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """Differs where something is to be written."""
        size = sum(len(point.values) for point in self.points)
        return len(self.points), size, self.status, self.state, self.reason, tuple(self.facts.items())


@dataclass(frozen=True)
class FollowedRun:
    """A run at one moment."""

    search: Followed
    trials: Sequence[Followed]
    objective: str
    """The metric by which a point is known to be at the destination."""
    files: Sequence[Path] = ()
    """To be kept beside the search: configuration, summary and report."""


class DestinationError(Exception):
    """It cannot be written now: the server is down, too slow, or refuses."""


class Destination(ABC):
    """Where a run is written to. After any error another one is opened, and asks what is there.

    A write is of what is not there yet, so that it can be repeated.
    """

    @abstractmethod
    def open(self, run: FollowedRun) -> None:
        """Find what is there of this run.

        Raises:
            DestinationError: that cannot be known now.
        """

    @abstractmethod
    def write(self, followed: Followed, *, parent: Followed | None) -> None:
        """Write what is missing of a search (without a parent) or trial; the search comes first.

        Raises:
            DestinationError: some of it may have been written.
        """

    def lacks(self, search: Followed) -> bool:
        """Whether the search itself must be written before its trials."""
        return False

    def keep(self, files: Sequence[Path]) -> None:
        """Keep files beside the search, when it has ended, where that can be.

        Raises:
            DestinationError: they cannot be kept.
        """
        return

    def close(self) -> None:
        """Nothing more will be written by this object."""
        return

    @property
    @abstractmethod
    def place(self) -> str:
        """Where a person finds it, without a secret."""
