"""How long a virtual epoch may take, and how often a trial is tried again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from search.config.sections.budget import Budget
from search.config.sections.limits import Limits
from search.study.journal import NOTHING_TO_DO, OvertakenError
from search.study.study import SearchStudy
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord
from trainables.process.failure import Failure, FailureKind

_SLOWEST_TIMES, _SHORTEST_TIMEOUT, _FIRST_TIMEOUT = 10.0, 300.0, 3600.0
# Attempts beyond the first, where fewer than `max_failures` make sense: the same values would run out of
# memory again, but in a machine's memory another trial may have been the cause.
_RETRIES = {FailureKind.GPU_MEMORY: 0, FailureKind.LASTING: 0, FailureKind.MEMORY: 1, FailureKind.HUNG: 1}

_MOST_HOSTS = {FailureKind.HOST_LOST: 10, FailureKind.HOST_DIED: 3}
"""Lost under a trial between two of its reports: it may be what brings them down after all."""

MOST_WITHOUT_VALUE = 24
"""Trials without a value after which a search ends that has no limit of trials."""
MOST_OVER_LIMIT = 100
"""Trials in a row over the limit after which no other begins, where there is no limit of trials."""

NOT_ITS_FAULT = {
    FailureKind.DISK_FULL: "; free some and resume",
    FailureKind.STORAGE: "; what was saved is here and there, and the search can be resumed",
    FailureKind.DATA_CHANGED: "",
    FailureKind.SUPERSEDED: f": another search has taken over this run; {NOTHING_TO_DO}",
}
"""Failures that say nothing about a trial and end the search, with the way out."""


def broken_by(failure: Failure) -> OvertakenError | None:
    """What a failure says of the whole run: whose trial goes on elsewhere may write nothing there."""
    return (
        OvertakenError(f"{failure.cause}; {NOTHING_TO_DO}")
        if failure.kind is FailureKind.SUPERSEDED
        else None
    )


def timeout_after(given: float | None, slowest: float | None) -> float:
    """Seconds that a virtual epoch may take: as given, or ten times the slowest so far (at least 5 min)."""
    if given is not None:
        return given
    return _FIRST_TIMEOUT if slowest is None else max(_SHORTEST_TIMEOUT, _SLOWEST_TIMES * slowest)


def reason_at_end(record: TrialRecord, ending: str | None) -> str:
    """Why a trial stops that has not ended when its search does."""
    at = f"at virtual epoch {record.depth}"
    return f"{at} when the search ended" if ending else f"paused {at}, not promoted"


_GIVEN_UP = "given_up"
"""In the study, the number of trials at which the search last ended so."""


def given_up(study: SearchStudy, limits: Limits | None) -> str:
    """Why a search without a limit of trials ends now that so many have no value, which the study records.

    Empty where it does not. They are of the space and the data of now, and have begun since the search last
    ended so: whoever goes on has changed something, or wants more of them.
    """
    current = [record for record in study.records if not record.of_other_data]
    if any(record.values and record.outcome not in BROKEN_OFF for record in current):
        return ""
    begin = study.study.user_attrs.get(_GIVEN_UP, 0)
    counted = [r for r in current if r.number >= begin and r.space_number == study.space_number]
    broken_off = sum(record.outcome in BROKEN_OFF for record in counted)
    if broken_off < MOST_WITHOUT_VALUE:
        return ""
    study.study.set_user_attr(_GIVEN_UP, len(study.records))
    if why := all_over(counted, limits):
        return why
    over = sum(record.outcome is Outcome.OVER_LIMIT for record in counted)
    beyond = f" ({over} are over the limit)" if over else ""
    return (
        f"none of {broken_off} trials has a value{beyond}; go on with other values under trial:, or with "
        "budget.trials, which then is the limit in the place of this one"
    )


def all_over(records: Sequence[TrialRecord], limits: Limits | None) -> str:
    """Said where nothing was trained, as each model that was measured is over the limits; else empty.

    To go on as before cannot help then: the text says how far away the nearest trial is, and the way out.
    """
    over = [record for record in records if record.outcome is Outcome.OVER_LIMIT]
    trained = any(r.values or r.outcome not in (None, Outcome.OVER_LIMIT) for r in records)
    if limits is None or not over or trained:
        return ""
    nearest = min(over, key=lambda record: max(limits.excess(record.measured).values()))
    return (
        f"all {len(over)} trials that were measured are over the limit; the nearest is trial "
        f"{nearest.number} with {nearest.reason}: raise limits: in a search of another --name, or narrow "
        "the space"
    )


def all_begun(study: SearchStudy, budget: Budget) -> bool:
    """Whether no further trial begins: there are as many as the budget has, or it would be over the limit."""
    if budget.trials is not None:
        return len(study.records) >= budget.trials
    return bool(over_at_last(study))


def over_at_last(study: SearchStudy) -> str:
    """Said where the newest trials of this space are all over the limit: those cost no compute, and without
    a limit of trials there would be no end of them."""
    count = 0
    for record in reversed(study.records):
        if record.outcome is Outcome.OVER_LIMIT and record.space_number == study.space_number:
            count += 1
        elif not record.running:
            break
    if count < MOST_OVER_LIMIT:
        return ""
    return f"the last {count} trials were over the limit: narrow the space, or raise limits: in a new search"


def may_retry(failures: Sequence[Failure], max_failures: int) -> bool:
    """Whether a trial is tried again after these lost attempts, at least one.

    A trial computes the same in each attempt, so an exception with the same text twice running comes again.
    Hosts that are gone do not count, but for many since its last report.
    """
    if most := _MOST_HOSTS.get(failures[-1].kind):
        since = [failure for failure in failures if failure.depth == failures[-1].depth]
        return sum(failure.kind is failures[-1].kind for failure in since) <= most
    failures = [failure for failure in failures if failure.kind not in _MOST_HOSTS]
    if failures[-1].kind is FailureKind.ERROR and failures[-1] in failures[-2:-1]:
        return False
    last = failures[-1].kind
    alike = sum(failure.kind is last for failure in failures)
    return len(failures) <= max_failures and alike <= _RETRIES.get(last, max_failures)


def failed_as(failure: Failure) -> tuple[Outcome, str]:
    """How a trial ends whose last attempt was lost to this, and why."""
    out_of_memory = failure.kind in (FailureKind.GPU_MEMORY, FailureKind.MEMORY)
    return Outcome.OUT_OF_MEMORY if out_of_memory else Outcome.FAILED, failure.text


def own_end(report: Mapping[str, Any]) -> tuple[Outcome, str] | None:
    """How a trial ends by itself and why, if it says so in its report."""
    if "diverged" in report:
        return Outcome.DIVERGED, report["diverged"]
    return (Outcome.STOPPED, report["ended"]) if "ended" in report else None


def over_limit(record: TrialRecord, limits: Limits | None) -> tuple[Outcome, str] | None:
    """How a trial ends of whose model more was measured than `limits:` allow."""
    beyond = "" if limits is None or record.depth else limits.beyond(record.measured)
    return (Outcome.OVER_LIMIT, beyond) if beyond else None


class Repeated:
    """Compares virtual epochs that are computed again, after a crash, with what they were."""

    def __init__(self) -> None:
        self._told = False

    def difference(self, record: TrialRecord, virtual_epoch: int, objective: float) -> str:
        """What to say of the first that comes out otherwise; else empty."""
        before = record.values[virtual_epoch - 1]
        if objective == before or self._told:
            return ""
        self._told = True
        return (
            f"virtual epoch {virtual_epoch} was computed again and gave {objective:.6g}, "
            f"before {before:.6g}: this training does not repeat exactly here"
        )


class FailedAlike:
    """Counts trials that failed with the same cause while no other trial came further than they did."""

    def __init__(self) -> None:
        self.count = 0
        self._cause, self._depth = "", 0

    def add(self, cause: str, depth: int) -> None:
        """A trial has failed after `depth` virtual epochs."""
        cause = _without_numbers(cause)
        alike = self.count > 0 and cause == self._cause
        self.count, self._depth = (self.count + 1, max(depth, self._depth)) if alike else (1, depth)
        self._cause = cause

    def survived(self, depth: int) -> None:
        """A trial has completed virtual epoch `depth`."""
        if depth > self._depth:
            self.count = 0


def _without_numbers(cause: str) -> str:
    """Causes that are alike differ only in numbers: of a step, a file, a label, an address."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", cause)
