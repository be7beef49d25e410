"""Trials without a journal, and what a scheduler says of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from search.schedulers.base import Decision, Scheduler
from search.space.parse import parse_space
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs

STEPS_OF_5 = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=None)


class NewIndexes:
    """Keeps nothing, for records that change untold: each index is made anew."""

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        return make()


class Records:
    """All that a scheduler of ours looks at of a study."""

    def __init__(self, *records: TrialRecord, mode: str = "max") -> None:
        self.records = list(records)
        self.mode = mode
        self.indexes = NewIndexes()


def trial(number: int, *values: float, **fields: Any) -> TrialRecord:
    return TrialRecord(number, number, parse_space({}), {}, values=list(values), lengths=STEPS_OF_5, **fields)


def decide(scheduler: Scheduler, record: TrialRecord, *others: TrialRecord) -> Decision:
    return scheduler.after_report(Records(record, *others), record)  # type: ignore[arg-type]


def promote(scheduler: Scheduler, *records: TrialRecord, closing: bool = False) -> int | None:
    chosen = scheduler.next_promotion(Records(*records), closing=closing)  # type: ignore[arg-type]
    return None if chosen is None else chosen.number
