"""What a resumed search does with the trials that nobody runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from search.budget.reserve import Reserve, is_held
from search.config.config import Config
from search.run.limits import failed_as, may_retry, over_limit
from search.schedulers.base import Decision, Scheduler
from search.study.study import SearchStudy
from search.study.trial import BROKEN_OFF, NO_VERDICT, Outcome, TrialRecord

OTHER_DATA = "the data have changed since: it cannot continue where it was"


@dataclass(frozen=True)
class Recovery:
    """What becomes of a trial: it runs, or has ended without that being recorded, or stays as it is."""

    runs: bool
    ended: tuple[Outcome, str] | None = None


def recovery_of(record: TrialRecord, study: SearchStudy, scheduler: Scheduler, config: Config) -> Recovery:
    """What becomes of a trial that nobody runs.

    The process may have died between a report and what followed from it, which is decided again here. That
    can only be the last report of all: before the next one the decision was recorded.
    """
    if record.outcome is not None and not record.resumable:
        return Recovery(runs=False)
    if record.of_other_data:
        ended = (Outcome.STOPPED, OTHER_DATA) if record.values else None
        return Recovery(runs=ended is None, ended=ended)
    if record.outcome is None and record.failures and not may_retry(record.failures, config.max_failures):
        return Recovery(runs=False, ended=failed_as(record.failures[-1]))
    if record.outcome is None and (beyond := over_limit(record, config.limits)) is not None:
        return Recovery(runs=False, ended=beyond)
    if record.depth == record.promoted_at:  # or nothing was reported yet
        return Recovery(runs=True)
    if is_held(record) and config.budget.limits_compute:
        return Recovery(runs=False)
    if record.depth >= config.budget.max_virtual_epochs:
        return Recovery(runs=False, ended=(Outcome.COMPLETED, "full length"))
    decision = scheduler.decision(study, record)
    last = record.outcome is None and record.sequence == study.last_sequence
    if decision is Decision.STOP and last:
        stopped = Outcome.STOPPED, scheduler.stop_reason(record)
        return Recovery(runs=False, ended=stopped)
    return Recovery(runs=decision is not Decision.PAUSE)


def is_fruitless(records: Sequence[TrialRecord], trials: int) -> bool:
    """All of at least so many trials have ended, none has a value, and some could be tried again."""
    outcomes = [record.outcome for record in records]
    ended = len(outcomes) >= trials and None not in outcomes
    has_value = any(record.values and record.outcome not in BROKEN_OFF for record in records)
    return ended and not has_value and any(outcome in NO_VERDICT for outcome in outcomes)


def recover(
    study: SearchStudy,
    scheduler: Scheduler,
    config: Config,
    reserve: Reserve,
    can_go_on: Callable[[TrialRecord], bool],
    *,
    retry_failed: bool,
) -> list[TrialRecord]:
    """The trials that continue at once, by number; what has ended without that being recorded is recorded."""
    for record in study.records:
        retried = retry_failed and is_retried(record)
        record.resumable = retried or is_cut_short(record, config, can_go_on)
    waiting = []
    # The last report first: what followed from it preceded everything else that is recorded here.
    for record in sorted(study.records, key=lambda record: -record.sequence):
        recovery = recovery_of(record, study, scheduler, config)
        undecided = record.outcome is None and 0 < record.depth != record.promoted_at
        undecided = undecided and record.sequence == study.last_sequence
        if recovery.ended is not None:
            study.finish(record, *recovery.ended)
        elif recovery.runs and undecided and reserve.holds(record, ()):
            continue
        elif recovery.runs:
            if record.of_other_data:
                study.begin_on_new_data(record)
            waiting.append(record)
    return sorted(waiting, key=lambda record: record.number)


def is_retried(record: TrialRecord) -> bool:
    """Failed, and can be tried again: on other data it could not continue where it was."""
    return record.outcome in NO_VERDICT and not (record.of_other_data and record.values)


def is_cut_short(record: TrialRecord, config: Config, can_go_on: Callable[[TrialRecord], bool]) -> bool:
    """Ended by a limit that has grown since, with a checkpoint to continue from if it had a virtual epoch."""
    if record.of_other_data:
        return False
    longer = record.depth < config.budget.max_virtual_epochs
    cut_short = longer and (record.stopped_by_budget or record.outcome is Outcome.COMPLETED)
    return cut_short and (record.depth == 0 or can_go_on(record))
