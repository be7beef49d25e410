"""A run as its report shows it, which may be running: what `show` reads, with Optuna's view of each trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from optuna.trial import FrozenTrial

from search.listing.reading import StageReading, read_run
from search.listing.state import LIVING, RunState, state_of
from search.race.confirmed import Confirmed
from search.run.confirm import read_confirmed
from search.run.disk.folder import RunFolder
from search.run.disk.heartbeat import Heard
from search.run.outcome.gone_on import gone_on
from search.run.outcome.summary import Summary
from search.study.trial import TrialRecord, ranked


class Stage(StageReading):
    """One search: the whole run, or one of its named stages."""

    @property
    def length(self) -> int:
        """Virtual epochs of a full training."""
        return self.config.budget.max_virtual_epochs

    @property
    def marks(self) -> list[int]:
        """Virtual epochs at which trials pause or are stopped, where these are the same for all."""
        rungs, lengths = self.scheduler.rungs, {r.lengths for r in self.records if r.lengths is not None}
        if self.config.scheduler.name in ("none", "pbt") or (
            len(lengths) > 1 and rungs.axis != "virtual_epochs"
        ):
            return []
        one, found, mark = next(iter(lengths), None), [], 0
        first = self.scheduler.first_bracket + 1
        while (mark := rungs.next_depth(mark, one, self.length, first)) < self.length:
            found.append(mark)
        return found

    @cached_property
    def ranked(self) -> list[TrialRecord]:
        """Trials with a value, the best first."""
        return ranked(self.records, self.config.objective.mode)

    @cached_property
    def frozen(self) -> list[FrozenTrial]:
        """Optuna's view of each trial, by its number."""
        return [self.study.storage.get_trial(record.trial_id) for record in self.records]


@dataclass(frozen=True)
class OpenedRun:
    """All that a report says anything about."""

    folder: RunFolder
    stages: Sequence[Stage]
    """Those that have begun, in order; one without named stages."""
    state: RunState
    summary: Summary | None
    """What the last session ended with; None while one runs, before the first end, and if it is outdated."""
    race: Confirmed | None

    @property
    def is_running(self) -> bool:
        return self.state.state in LIVING

    @property
    def last(self) -> Stage:
        """The last stage that has a trial with a value, or the last one."""
        return next((stage for stage in reversed(self.stages) if stage.ranked), self.stages[-1])


def open_for_report(folder: RunFolder, heard: Heard | None = None) -> OpenedRun:
    """Read a run.

    Args:
        folder: of the run.
        heard: who runs it now; None if nobody does.

    Raises:
        SearchError: there is no run, or its study is damaged.
    """
    reading = read_run(folder)
    stages = [Stage(each.name, each.folder, each.config, each.study) for each in reading.stages]
    race = read_confirmed(folder)
    state, summary = state_of(reading, heard, race), reading.summary
    if state.state in LIVING or (summary is not None and _is_outdated(summary, stages)):
        summary = None
    return OpenedRun(folder, stages, state, summary, race)


def _is_outdated(summary: Summary, stages: Sequence[Stage]) -> bool:
    """Whether a complete search went on since, and was killed."""
    if summary.status != "complete":
        return False
    records = [record for stage in stages for record in stage.records]
    return gone_on(summary, records, [(stage.folder, stage.config) for stage in stages]) is not None
