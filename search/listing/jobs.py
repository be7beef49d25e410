"""The jobs of a trial: from each start, promotion or new attempt to the pause, failure or end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from search.listing.reading import StageReading
from search.study.trial import NO_VERDICT, TrialRecord


@dataclass(frozen=True)
class Job:
    """A piece of a trial; one that was killed before it reported is not told from its continuation."""

    after: int
    """Virtual epoch after which it began."""
    until: int
    """Its last virtual epoch."""
    began: str
    """started, promoted, tried again, continued after a kill or signal, or went on from another trial."""
    ended: str
    """paused, the kind of failure, or the state of the trial now."""
    at: float | None = None
    """When it began, in Unix seconds; None where the version that ran it kept no times."""
    seconds: float | None = None
    """From then until it was last heard of."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def jobs_of(stage: StageReading, record: TrialRecord, state: str) -> list[Job]:
    """The jobs of a trial in turn, by their times, or by its pauses and failures where there are none of all.

    Args:
        stage: the search.
        record: the trial.
        state: of the trial now, see `state_of_trial`.
    """
    breaks: dict[int, list[_Break]] = {}
    for each in (*_pauses(stage, record), *_failures(record)):
        breaks.setdefault(each.depth, []).append(each)
    if record.jobs and record.jobs[0].after == 0:
        return _timed(record, breaks, state)
    jobs, after, began = [], 0, "started"
    for depth in sorted(breaks):
        for each in breaks[depth]:
            jobs.append(Job(after, depth, began, each.ended))
            after, began = depth, each.next_began
    if after < record.depth or began != "promoted" or record.outcome is None:
        jobs.append(Job(after, record.depth, began, state))
    return jobs


class _Break(NamedTuple):
    """Where a job of a trial ended and another one followed."""

    depth: int
    ended: str
    next_began: str


_CONTINUED = "cut off with the search", "continued"


def _timed(record: TrialRecord, breaks: Mapping[int, list[_Break]], state: str) -> list[Job]:
    """Each job with its times; what ended it is the break at the depth at which the next one began.

    Of several at one depth the pause comes first, then the failures in their order.
    """
    left = {depth: iter(of) for depth, of in breaks.items()}
    jobs, began = [], "started"
    for place, times in enumerate(record.jobs):
        follower = record.jobs[place + 1] if place + 1 < len(record.jobs) else None
        ended, next_began = state, ""
        if follower is not None:
            found = next(left.get(follower.after, iter(())), None)
            ended, next_began = _CONTINUED if found is None else found[1:]
        until = record.depth if follower is None else follower.after
        seconds = round(times.heard_of - times.began, 3)
        jobs.append(Job(times.after, until, began, ended, at=times.began, seconds=seconds))
        began = next_began
    return jobs


def _pauses(stage: StageReading, record: TrialRecord) -> Iterator[_Break]:
    """Where it paused and was continued: depth, how the job ended, how the next one began."""
    if not stage.scheduler.pauses or record.audited:
        return
    donors = {item.at: item.donor for item in record.taken_over}
    length, depth = stage.config.budget.max_virtual_epochs, 0
    while depth < record.depth:
        depth = stage.scheduler.next_decision(record.number, depth, record.lengths, length, record.bracket)
        if depth < record.depth or depth == record.depth == record.promoted_at:
            donor = donors.get(depth)
            yield _Break(depth, "paused", "promoted" if donor is None else f"went on from trial {donor}")


def _failures(record: TrialRecord) -> Iterator[_Break]:
    """Where an attempt failed and another one followed: the last failure may have ended the trial."""
    followed = record.failures[:-1] if record.outcome in NO_VERDICT else record.failures
    return (_Break(failure.depth, failure.kind.value, "tried again") for failure in followed)
