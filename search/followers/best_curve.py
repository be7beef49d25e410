"""The best value of a search over its optimizer steps, report by report in the order of their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from search.config.schema import Mode
from search.study.trial import BROKEN_OFF, TrialRecord, as_loss
from trainables.best_window import best_mean, best_virtual_epoch


class Report(NamedTuple):
    """A virtual epoch that was reported."""

    at: float
    record: TrialRecord
    virtual_epoch: int
    steps: int
    """Optimizer steps of this virtual epoch alone."""


class Best(NamedTuple):
    """From here on the best trial has another value."""

    steps: int
    """Of all trials up to there."""
    at: float
    value: float
    record: TrialRecord


def best_over_time(reports: Iterable[Report], mode: Mode) -> Iterator[Best]:
    """Each change of the best value to a better one, by the same comparison as the summary's best trial.

    That is the best mean over a window of reports, after which a value may be less than one before it: only
    what is better than all before is told. Trials that broke off and those of other data do not count.
    """
    steps, shown = 0, None
    standing: tuple[bool, float] | None = None
    for report in sorted(reports, key=lambda report: (report.at, report.record.number, report.virtual_epoch)):
        steps += report.steps
        record = report.record
        if record.outcome in BROKEN_OFF or record.of_other_data:
            continue
        values = record.values[: report.virtual_epoch]
        own = _standing(values, record.window, mode)
        if standing is not None and own >= standing:
            continue
        standing = own
        value = values[best_virtual_epoch(values, mode, record.window) - 1]
        if shown is None or as_loss(value, mode) < as_loss(shown, mode):
            shown = value
            yield Best(steps, report.at, value, record)


def _standing(values: Sequence[float], window: int, mode: Mode) -> tuple[bool, float]:
    """What a trial is compared by: those with fewer reports than the window come last."""
    return len(values) < window, as_loss(best_mean(values, mode, window), mode)
