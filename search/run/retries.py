"""Lost attempts at a trial: which are followed by another, what the trial ends as, which are alike."""

from __future__ import annotations

import re
from collections.abc import Sequence

from search.study.trial import Outcome
from trainables.process.failure import Failure, FailureKind

# Attempts beyond the first, where fewer than `max_failures` make sense: the same values would run out of
# memory again, but in a machine's memory another trial may have been the cause.
_RETRIES = {FailureKind.GPU_MEMORY: 0, FailureKind.MEMORY: 1, FailureKind.HUNG: 1}
_OUT_OF_MEMORY = (FailureKind.GPU_MEMORY, FailureKind.MEMORY)


def may_retry(failures: Sequence[Failure], max_failures: int) -> bool:
    """Whether a trial is tried again after these lost attempts, at least one."""
    last = failures[-1].kind
    alike = sum(failure.kind is last for failure in failures)
    return len(failures) <= max_failures and alike <= _RETRIES.get(last, max_failures)


def failed_as(failure: Failure) -> tuple[Outcome, str]:
    """How a trial ends whose last attempt was lost to this, and why."""
    out_of_memory = failure.kind in _OUT_OF_MEMORY
    return Outcome.OUT_OF_MEMORY if out_of_memory else Outcome.FAILED, failure.cause


class FailedAlike:
    """Counts trials that failed with the same cause, as long as no other comes further than they came."""

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
        """A trial has come to the end of virtual epoch `depth`."""
        if depth > self._depth:
            self.count = 0


def _without_numbers(cause: str) -> str:
    """Causes that are alike differ in numbers only: of a step, a file, a label, an address."""
    return re.sub(r"0x[0-9a-f]+|\d+", "#", cause)
