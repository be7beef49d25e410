"""What happens in a search, as its reporter sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from search.study.trial import TrialRecord


class EventKind(Enum):
    """What happened to a trial."""

    STARTED = "started"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    REPORTED = "reported"
    PAUSED = "paused"
    ENDED = "ended"
    RETRIED = "retried"
    MESSAGE = "message"
    """a line about it that a person should read"""


@dataclass(frozen=True)
class Event:
    """One thing that happened to a trial."""

    kind: EventKind
    record: TrialRecord
    metrics: Mapping[str, Any]
    """The report that led to it."""
    text: str = ""


class Turn(Enum):
    """What a free worker does when there is no trial for it."""

    WAIT = "wait"
    DONE = "done"
