"""The search itself: what a free worker does next, what a report leads to. No Ray, no files but the study."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from search.early_stopping import Decision, Rule
from search.study import Outcome, SearchStudy, TrialRecord, best_record
from trainables.virtual_epoch import VirtualEpochs


class Turn(Enum):
    """What a free worker is told when there is no trial for it."""

    WAIT = "wait"
    DONE = "done"


class EventKind(Enum):
    """What happened to a trial, for whoever watches."""

    STARTED = "started"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    REPORTED = "reported"
    PAUSED = "paused"
    ENDED = "ended"
    RETRIED = "retried"


@dataclass(frozen=True)
class Event:
    kind: EventKind
    record: TrialRecord
    metrics: Mapping[str, Any]
    text: str = ""


@dataclass(frozen=True)
class Limits:
    """Where a search ends; None is no limit."""

    trials: int
    virtual_epochs: int
    """of one trial"""
    seconds: float | None = None
    steps: int | None = None
    """optimizer steps of all trials together"""
    max_failures: int = 2
    """attempts beyond the first that a failing trial gets"""
    max_failed: int = 5
    """failed trials in a row after which the search gives up"""


class Coordinator:
    """Decides what runs, in one thread, from the study and a clock.

    A trial runs in legs: it starts, pauses at a rung, and goes on in a later leg, perhaps in another
    process, from its checkpoint. Whoever executes legs asks `next_trial`, passes on every report, and says
    when a leg was lost.

    Args:
        study: the truth about the search.
        rule: pauses, promotes and stops.
        limits: where the search ends.
        concurrency: legs that may run at once.
        known_points: parameters of the first trials, in order.
        watch: is told of every event.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        study: SearchStudy,
        rule: Rule,
        limits: Limits,
        *,
        concurrency: int,
        known_points: Sequence[Mapping[str, Any]] = (),
        watch: Callable[[Event], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study = study
        self.rule = rule
        self.limits = limits
        self.concurrency = concurrency
        self.ending: str | None = None
        """Why no further virtual epoch begins; None while the search goes on."""
        self.gave_up = False
        self._known_points = list(known_points)
        self._watch = watch
        self._clock = clock
        self._elapsed_before = study.elapsed_seconds
        self._began = clock()
        self._elapsed_saved = self._elapsed_before
        self._failed_in_a_row = 0
        self._waiting = [record for record in study.records if self._goes_on(record)]

    @property
    def running(self) -> list[TrialRecord]:
        """Trials with a leg that is being run."""
        return [record for record in self.study.records if record.running]

    def is_running(self, number: int) -> bool:
        return self.study.records[number].running

    @property
    def elapsed_seconds(self) -> float:
        """Wall time of the search, earlier sessions included."""
        return self._elapsed_before + self._clock() - self._began

    @property
    def steps(self) -> int:
        """Optimizer steps spent by all trials."""
        return sum(record.steps for record in self.study.records)

    @property
    def best(self) -> TrialRecord | None:
        return best_record(self.study.records, self.study.mode)

    def progress(self) -> float:
        """Rough share of the search that is done, from 0 to 1, by whichever limit is nearest to it."""
        shares = [self._trained_share()]
        if self.limits.seconds is not None:
            shares.append(self.elapsed_seconds / self.limits.seconds)
        if self.limits.steps is not None:
            shares.append(self.steps / self.limits.steps)
        # A rule may take more than expected; the search is not over while a trial is being trained.
        return min(0.99 if self.running else 1.0, max(shares))

    def _trained_share(self) -> float:
        """Virtual epochs trained, of those that are expected; an ended trial counts as one of full length."""
        records, limits = self.study.records, self.limits
        lengths = next((r.lengths for r in records if r.lengths is not None), None)
        expected = self.rule.expected_virtual_epochs(limits.trials, limits.virtual_epochs, lengths)
        if expected is not None:
            return sum(r.depth for r in records) / max(1, expected)
        full = limits.virtual_epochs
        return sum(full if r.outcome else r.depth for r in records) / max(1, full * limits.trials)

    def seconds_left(self) -> float | None:
        """Rough time to the end at the pace so far; None while nothing can be said."""
        share = self.progress()
        left = self.elapsed_seconds * (1 / share - 1) if share > 0.02 else None
        if self.limits.seconds is None:
            return left
        until_limit = max(0.0, self.limits.seconds - self.elapsed_seconds)
        return until_limit if left is None else min(left, until_limit)

    def next_trial(self) -> TrialRecord | Turn:
        """The trial that a free worker trains next, or what it does without one."""
        self._check_limits()
        if self.ending is not None:
            return Turn.DONE
        if len(self.running) >= self.concurrency:
            return Turn.WAIT
        record, kind = self._choose()
        if record is None:
            return Turn.WAIT if self.running else Turn.DONE
        record.running = True
        self._tell(kind, record)
        return record

    def on_report(self, number: int, report: Mapping[str, Any], lengths: VirtualEpochs) -> bool:
        """Record one virtual epoch; returns whether the trial's leg goes on.

        A virtual epoch that the study holds already (it was computed again after a crash) changes nothing.
        """
        record = self.study.records[number]
        if "diverged" in report:
            self._failed_in_a_row = 0
            self._finish(record, Outcome.DIVERGED, report["diverged"], report)
            return False
        if report["virtual_epoch"] <= record.depth:
            return self._leg_goes_on(record)
        assert report["virtual_epoch"] == record.depth + 1, (report["virtual_epoch"], record.depth)
        self.study.report(record, report["objective"], lengths, report["seconds"])
        self._failed_in_a_row = 0
        self._tell(EventKind.REPORTED, record, report)
        self._save_elapsed()
        if record.depth >= self.limits.virtual_epochs:
            self._finish(record, Outcome.COMPLETED, "full length", report)
            return False
        decision = self.rule.after_report(self.study, record)
        if decision is Decision.STOP:
            self._finish(record, Outcome.STOPPED, f"stopped at virtual epoch {record.depth}", report)
        elif decision is Decision.PAUSE:
            record.running = False
            self._tell(EventKind.PAUSED, record, report)
        return self._leg_goes_on(record)

    def _leg_goes_on(self, record: TrialRecord) -> bool:
        self._check_limits()
        if self.ending is not None:
            record.running = False
        return record.running

    def on_lost(self, number: int, outcome: Outcome, cause: str) -> None:
        """The leg ended without a report: by an exception, out of memory, or with its process.

        Tried again from its checkpoint up to `max_failures` times; out of memory never, for the same values
        would run out again.
        """
        record = self.study.records[number]
        if not record.running:
            return
        record.running = False
        self.study.add_failure(record, cause)
        if outcome is Outcome.OUT_OF_MEMORY or record.failures > self.limits.max_failures:
            self._failed_in_a_row += 1
            self._finish(record, outcome, cause, {})
            if self._failed_in_a_row >= self.limits.max_failed:
                self.gave_up = True
                self.end(f"{self._failed_in_a_row} trials in a row failed, the last with: {cause}")
            return
        # At a rung it is paused again, and promoted again if it still is among the best.
        if not record.values or self.rule.after_report(self.study, record) is not Decision.PAUSE:
            self._waiting.append(record)
        self._tell(EventKind.RETRIED, record, text=cause)

    def end(self, reason: str) -> None:
        """Begin no further virtual epoch; the first reason given stands."""
        self.ending = self.ending or reason

    def close(self, *, resumable: bool) -> None:
        """After the last leg: unless the search is to be resumed, paused trials end where they are."""
        self.study.save_elapsed(self.elapsed_seconds)
        if resumable:
            return
        for record in self.study.records:
            if record.outcome is None:
                at = f"at virtual epoch {record.depth}"
                reason = f"{at} when the search ended" if self.ending else f"paused {at}, not promoted"
                self.study.finish(record, Outcome.STOPPED, reason)

    def _choose(self) -> tuple[TrialRecord | None, EventKind]:
        if self._waiting:
            record = self._waiting.pop(0)
            return record, EventKind.RESUMED if record.depth else EventKind.STARTED
        closing = len(self.study.records) >= self.limits.trials
        promoted = self.rule.next_promotion(self.study, closing=closing)
        if promoted is not None or closing:
            return promoted, EventKind.PROMOTED
        number = len(self.study.records)
        known = self._known_points[number] if number < len(self._known_points) else None
        return self.study.ask(known), EventKind.STARTED

    def _goes_on(self, record: TrialRecord) -> bool:
        """Whether an unfinished trial that nobody runs is to be run, rather than paused or ended.

        A process may have died between a report and what followed from it, so that is decided here again.
        """
        if record.outcome is not None:
            return False
        if record.failures > self.limits.max_failures:
            self.study.finish(record, Outcome.FAILED, record.reason)
            return False
        if record.depth == 0:
            return True
        if record.depth >= self.limits.virtual_epochs:
            self.study.finish(record, Outcome.COMPLETED, "full length")
            return False
        decision = self.rule.after_report(self.study, record)
        if decision is Decision.STOP:
            self.study.finish(record, Outcome.STOPPED, f"stopped at virtual epoch {record.depth}")
        return decision is Decision.GO_ON

    def _finish(self, record: TrialRecord, outcome: Outcome, reason: str, report: Mapping[str, Any]) -> None:
        record.running = False
        self.study.finish(record, outcome, reason)
        self._tell(EventKind.ENDED, record, report, reason)

    def _check_limits(self) -> None:
        limits = self.limits
        if limits.seconds is not None and self.elapsed_seconds >= limits.seconds:
            self.end("time limit")
        if limits.steps is not None and self.steps >= limits.steps:
            self.end("step limit")

    def _save_elapsed(self) -> None:
        if self.elapsed_seconds - self._elapsed_saved >= 5.0:
            self._elapsed_saved = self.elapsed_seconds
            self.study.save_elapsed(self._elapsed_saved)

    def _tell(
        self, kind: EventKind, record: TrialRecord, metrics: Mapping[str, Any] | None = None, text: str = ""
    ) -> None:
        self._watch(Event(kind, record, metrics or {}, text))
