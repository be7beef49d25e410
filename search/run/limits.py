"""How long a virtual epoch may take, and how often a trial is tried again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from search.study.trial import BROKEN_OFF, Outcome, TrialRecord
from trainables.process.failure import Failure, FailureKind

_SLOWEST_TIMES, _SHORTEST_TIMEOUT, _FIRST_TIMEOUT = 10.0, 300.0, 3600.0
# Attempts beyond the first, where fewer than `max_failures` make sense: the same values would run out of
# memory again, but in a machine's memory another trial may have been the cause.
_RETRIES = {FailureKind.GPU_MEMORY: 0, FailureKind.LASTING: 0, FailureKind.MEMORY: 1, FailureKind.HUNG: 1}

MOST_WITHOUT_VALUE = 24
"""Trials without a value after which a search ends that has no limit of trials."""

NOT_ITS_FAULT = {FailureKind.DISK_FULL: "; free some and resume", FailureKind.DATA_CHANGED: ""}
"""Failures that say nothing about a trial and end the search, with the way out."""


def timeout_after(given: float | None, slowest: float | None) -> float:
    """Seconds that a virtual epoch may take: as given, or ten times the slowest so far (at least 5 min)."""
    if given is not None:
        return given
    return _FIRST_TIMEOUT if slowest is None else max(_SHORTEST_TIMEOUT, _SLOWEST_TIMES * slowest)


def difference(record: TrialRecord, virtual_epoch: int, objective: float) -> str:
    """What to say if a virtual epoch that was computed again came out otherwise; else empty."""
    before = record.values[virtual_epoch - 1]
    return (
        ""
        if objective == before
        else (
            f"virtual epoch {virtual_epoch} was computed again and gave {objective:.6g}, "
            f"before {before:.6g}: this training does not repeat exactly here"
        )
    )


def reason_at_end(record: TrialRecord, ending: str | None) -> str:
    """Why a trial stops that has not ended when its search does."""
    at = f"at virtual epoch {record.depth}"
    return f"{at} when the search ended" if ending else f"paused {at}, not promoted"


def without_value(records: Sequence[TrialRecord]) -> str:
    """Why a search without a limit of trials ends once so many have ended without a value; else empty."""
    broken_off = sum(record.outcome in BROKEN_OFF for record in records)
    has_value = any(record.values and record.outcome not in BROKEN_OFF for record in records)
    return "" if has_value or broken_off < MOST_WITHOUT_VALUE else f"none of {broken_off} trials has a value"


def may_retry(failures: Sequence[Failure], max_failures: int) -> bool:
    """Whether a trial is tried again after these lost attempts, at least one.

    A trial computes the same in each attempt, so an exception with the same text twice running comes again.
    """
    if failures[-1].kind is FailureKind.ERROR and failures[-1] in failures[-2:-1]:
        return False
    last = failures[-1].kind
    alike = sum(failure.kind is last for failure in failures)
    return len(failures) <= max_failures and alike <= _RETRIES.get(last, max_failures)


def failed_as(failure: Failure) -> tuple[Outcome, str]:
    """How a trial ends whose last attempt was lost to this, and why."""
    out_of_memory = failure.kind in (FailureKind.GPU_MEMORY, FailureKind.MEMORY)
    return Outcome.OUT_OF_MEMORY if out_of_memory else Outcome.FAILED, failure.cause


def own_end(report: Mapping[str, Any]) -> tuple[Outcome, str] | None:
    """How a trial ends by itself and why, if it says so in its report."""
    if "diverged" in report:
        return Outcome.DIVERGED, report["diverged"]
    return (Outcome.STOPPED, report["ended"]) if "ended" in report else None


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
