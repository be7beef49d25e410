"""What a search that goes on does with the trials that nobody runs; told by the study, written by nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from search.config.config import Config
from search.run.retries import failed_as, may_retry
from search.schedulers.base import Decision, Scheduler
from search.study.study import SearchStudy
from search.study.trial import Outcome, TrialRecord


@dataclass(frozen=True)
class Recovery:
    """What becomes of a trial: it runs, or has ended without that being recorded, or rests as it is."""

    runs: bool
    ended: tuple[Outcome, str] | None = None


def recovery_of(record: TrialRecord, study: SearchStudy, scheduler: Scheduler, config: Config) -> Recovery:
    """Whether a trial that nobody runs is to be run now, rather than paused or ended.

    A process may have died between a report and what followed from it, so that is decided here again. It
    can only have been the last report of all: before another one the decision was made and recorded.
    """
    if record.outcome is not None and not record.resumable:
        return Recovery(runs=False)
    if record.outcome is None and record.failures and not may_retry(record.failures, config.max_failures):
        return Recovery(runs=False, ended=failed_as(record.failures[-1]))
    if record.depth == record.promoted_at:  # or nothing was reported yet
        return Recovery(runs=True)
    if record.depth >= config.budget.max_virtual_epochs:
        return Recovery(runs=False, ended=(Outcome.COMPLETED, "full length"))
    decision = scheduler.after_report(study, record)
    last = record.outcome is None and record.sequence == study.last_sequence
    if decision is Decision.STOP and last:
        stopped = Outcome.STOPPED, scheduler.stop_reason(record)
        return Recovery(runs=False, ended=stopped)
    return Recovery(runs=decision is not Decision.PAUSE)


def is_cut_short(record: TrialRecord, config: Config, can_go_on: Callable[[TrialRecord], bool]) -> bool:
    """Ended by a limit that has grown since, with a checkpoint to go on from.

    A trial that had no virtual epoch yet needs no checkpoint.
    """
    longer = record.depth < config.budget.max_virtual_epochs
    cut_short = longer and (record.stopped_by_budget or record.outcome is Outcome.COMPLETED)
    return cut_short and (record.depth == 0 or can_go_on(record))


def needed_trials(study: SearchStudy, scheduler: Scheduler, config: Config) -> list[TrialRecord]:
    """Trials that a search without new trials would go on with, by now or later: nothing is written."""
    runs = [record for record in study.records if recovery_of(record, study, scheduler, config).runs]
    return [*runs, *scheduler.may_promote(study, 0)]
