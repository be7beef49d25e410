"""What `verify` finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Damage:
    """A file or folder of a run that is not as it was written."""

    path: str
    """Relative to the run's folder."""
    what: str
    cost: str
    """What is lost, or has to be computed again."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked, and what was found damaged."""

    folder: Path
    owner: str | None
    """The search that runs there now: files that it is writing, or has not written yet, are no damage."""
    trials: int
    virtual_epochs: int
    checkpoints: int
    num_bytes: int
    """Size of the checkpoints."""
    damages: list[Damage]
