"""The jobs of a trial: from each start, promotion or new attempt to the pause, failure or end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from search.listing.reading import StageReading
from search.study.trial import NO_VERDICT, TrialRecord


@dataclass(frozen=True)
class Job:
    """A piece of a trial by its study, which does not tell a job from its continuation after a kill."""

    after: int
    """Virtual epoch after which it began."""
    until: int
    """Its last virtual epoch."""
    began: str
    """started, promoted, tried again, or went on from another trial."""
    ended: str
    """paused, the kind of failure, or the state of the trial now."""
    at: float | None = None
    """When it began, in Unix seconds; None where the version that ran it kept no times."""
    seconds: float | None = None
    """From then until it was last heard of."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def jobs_of(stage: StageReading, record: TrialRecord, state: str) -> list[Job]:
    """The jobs of a trial in turn, by the rungs at which it paused and the attempts that failed.

    Args:
        stage: the search.
        record: the trial.
        state: of the trial now, see `state_of_trial`.
    """
    breaks = sorted([*_pauses(stage, record), *_failures(record)])
    jobs, after, began = [], 0, "started"
    for depth, ended, next_began in breaks:
        jobs.append(Job(after, depth, began, ended))
        after, began = depth, next_began
    if after < record.depth or began != "promoted" or record.outcome is None:
        jobs.append(Job(after, record.depth, began, state))
    if len(jobs) != len(record.jobs):
        return jobs  # the study has one more for each kill, and an older version kept none
    return [
        replace(job, at=at, seconds=round(until - at, 3))
        for job, (at, until) in zip(jobs, record.jobs, strict=True)
    ]


def _pauses(stage: StageReading, record: TrialRecord) -> Iterator[tuple[int, str, str]]:
    """Where it paused and was continued: depth, how the job ended, how the next one began."""
    if not stage.scheduler.pauses or record.audited:
        return
    donors = {item.at: item.donor for item in record.taken_over}
    length, depth = stage.config.budget.max_virtual_epochs, 0
    while depth < record.depth:
        depth = stage.scheduler.next_decision(record.number, depth, record.lengths, length, record.bracket)
        if depth < record.depth or depth == record.depth == record.promoted_at:
            donor = donors.get(depth)
            yield depth, "paused", "promoted" if donor is None else f"went on from trial {donor}"


def _failures(record: TrialRecord) -> Iterator[tuple[int, str, str]]:
    """Where an attempt failed and another one followed: the last failure may have ended the trial."""
    followed = record.failures[:-1] if record.outcome in NO_VERDICT else record.failures
    return ((failure.depth, failure.kind.value, "tried again") for failure in followed)
