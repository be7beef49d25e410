"""What trials have taken, and what a search has spent so far by its journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from search.study.reading import StudyReading, read_study
from search.study.times import Summed, Times
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs


@dataclass(frozen=True)
class Spent(Summed):
    """What trials have taken so far, in whole numbers, so that their sum does not depend on the order."""

    virtual_epochs: int = 0
    steps: int = 0
    samples: int = 0
    ms: int = 0
    """The trials' own milliseconds."""
    broken_off: int = 0
    """Virtual epochs in which a trial diverged or failed: they were begun, and there is no report of them."""
    times: Times = field(default_factory=Times)
    within: int = 0
    """Sum of the squared differences of the virtual epochs' times from the mean of their trial."""


class SearchSpent(NamedTuple):
    """What a search has done so far."""

    trials: int
    of_trials: Spent
    lengths: tuple[VirtualEpochs, ...]
    """Lengths of virtual epochs that trials have had."""
    seconds: float
    """Wall time of all sessions."""


def read_spent(path: Path) -> SearchSpent:
    """What the search in this journal has done, without writing to it.

    Raises:
        SearchError: the journal is damaged.
    """
    return spent_of(read_study(path))


def spent_of(study: StudyReading) -> SearchSpent:
    """What the search of a study has done."""
    records = study.records
    return SearchSpent(
        trials=len(records),
        of_trials=sum(map(spent_by, records), Spent()),
        lengths=tuple({record.lengths for record in records if record.lengths is not None}),
        seconds=study.seconds,
    )


def spent_by(record: TrialRecord) -> Spent:
    """What a trial has taken."""
    times = record.times
    return Spent(
        virtual_epochs=record.depth,
        steps=record.steps,
        samples=record.samples,
        ms=round(record.seconds * 1000),
        broken_off=int(record.outcome in BROKEN_OFF and record.outcome is not Outcome.OVER_LIMIT),
        times=times,
        within=round(times.squares - times.ms * times.ms / times.timed) if times.timed else 0,
    )
