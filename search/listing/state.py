"""The state of a run: running, interrupted, complete, failed, or damaged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from search.listing.reading import RunReading
from search.race.confirmed import Confirmed
from search.run.disk.heartbeat import Heard
from search.run.outcome.gone_on import gone_on


class State(StrEnum):
    """What a run is doing, or how it has ended."""

    RUNNING = "running"
    PERHAPS = "perhaps running"
    """On a machine that cannot be seen from here, and which was not heard of while it was listened to."""
    INTERRUPTED = "interrupted"
    """By a signal, by a kill, or by the end of its machine: it can be resumed."""
    COMPLETE = "complete"
    FAILED = "failed"
    DAMAGED = "damaged"
    """A file cannot be read that a search needs to go on."""


LIVING = (State.RUNNING, State.PERHAPS)


@dataclass(frozen=True)
class RunState:
    """A state and where it comes from."""

    state: State
    reason: str = ""
    """Why it has ended, or what is damaged; empty while it runs."""
    heard: Heard | None = None
    """Of a run that lives, or may live."""
    damaged: str = ""
    """The file that is damaged, or why it cannot be read."""


def state_of(run: RunReading, heard: Heard | None, race: Confirmed | None = None) -> RunState:
    """The state of a run whose files can be read.

    Args:
        run: what they say.
        heard: the owner of its folder, if one lives.
        race: what its race has come to.
    """
    if heard is not None and not heard.owner.doing:  # others than a search change nothing of its state
        return RunState(State.RUNNING if heard.is_certain else State.PERHAPS, heard=heard)
    summary = run.summary
    if summary is None:
        if run.damaged_summary:
            reason = f"{run.folder.summary} is damaged ({run.damaged_summary}); the search writes it again"
            return RunState(State.DAMAGED, reason, damaged=run.folder.summary.name)
        return RunState(State.INTERRUPTED, "it has no summary: its process was killed, or its machine died")
    records = [record for stage in run.stages for record in stage.records]
    later = 0 < summary.sessions < sum(stage.study.session for stage in run.stages)
    if summary.status == "failed" and later:
        return RunState(State.INTERRUPTED, "it went on after it had failed, and was killed")
    if summary.status == "failed" and len(records) <= summary.trials:
        return RunState(State.FAILED, summary.reason)
    if summary.status != "complete":
        return RunState(State.INTERRUPTED, summary.reason)
    since = gone_on(summary, records, [(stage.folder, stage.config) for stage in run.stages])
    if since is not None:
        found = f" ({since.found})" if since.found else ""
        return RunState(State.INTERRUPTED, f"it {since.what} after its end, and was killed{found}")
    if race is not None and race.status == "unfinished":
        return RunState(State.INTERRUPTED, "its race is not over; `tune-search confirm` continues it")
    return RunState(State.COMPLETE, summary.reason)
