"""The search itself: what a free worker does next, and what follows from a report. Writes only the study."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from search.budget.reserve import Reserve
from search.config.config import Config
from search.config.objectives import reported
from search.fidelity.draw import is_audited
from search.run import limits
from search.run.events import Event, EventKind, Turn
from search.run.outcome.job_times import JobTimes
from search.run.recovery import is_fruitless, recover
from search.samplers.points import Points
from search.schedulers.base import Decision, Scheduler
from search.schedulers.plateau import ended_on_plateau
from search.study.journal import JournalWriteError
from search.study.study import SearchStudy
from search.study.times import wall_clock
from search.study.trial import Outcome, TrialRecord, best_record
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import Failure


class Coordinator:
    """Decides what runs, in one thread, from the study and a clock.

    A trial runs in jobs: it starts, pauses at a rung, and continues from its checkpoint in a later job.
    An executor asks `next_job`, passes on every report, and says when a job was lost. See `on_broken` too.

    Args:
        study: the truth about the search; `recover` is called before the first job.
        scheduler: pauses, promotes and stops.
        config: says where the search ends, and how often a trial is tried again.
        concurrency: jobs that may run at once.
        can_go_on: whether a trial that has ended has a checkpoint to go on from.
        retry_failed: try trials again that failed or ran out of memory before, see `is_fruitless` too.
        watch: called with every event.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        study: SearchStudy,
        scheduler: Scheduler,
        config: Config,
        *,
        concurrency: int,
        can_go_on: Callable[[TrialRecord], bool] = lambda record: True,
        retry_failed: bool = False,
        watch: Callable[[Event], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study, self.scheduler = study, scheduler
        self.concurrency, self.num_waiting = concurrency, 0
        """Jobs that may run at once; and besides, those of the running ones that wait for room."""
        self.ending: str | None = None
        """Why no further virtual epoch begins; None while the search goes on."""
        self.gave_up = False
        self.broken: Exception | None = None
        """What keeps the study from being written; an OvertakenError, the whole folder of the run."""
        self.watch, self._config, self._can_go_on, self._retry_failed = watch, config, can_go_on, retry_failed
        self._running: dict[int, TrialRecord] = {}
        self._waiting: list[TrialRecord] | None = None
        self._points = Points(config, study.records)
        self.budget = self._points.limited(config.budget)
        """Where the search ends; a grid ends with its last point."""
        self._clock, self._began, self.times = clock, clock(), JobTimes(clock)
        self._elapsed_before = self._elapsed_saved = study.elapsed_seconds
        limited = config.model_copy(update={"budget": self.budget})
        self.reserve = Reserve(study, scheduler, limited, lambda: self.elapsed_seconds)
        """What its limits of compute still allow."""
        self._failed_alike, self._repeated = limits.FailedAlike(), limits.Repeated()
        self.slowest = max((r.seconds / r.depth for r in study.records if r.values), default=None)
        """Seconds of the slowest virtual epoch so far."""

    def recover(self) -> None:
        """Take up the trials that nobody runs: queue them, or record that they have ended."""
        retry_failed = self._retry_failed or self.is_fruitless
        self._waiting = recover(
            self.study, self.scheduler, self._config, self.reserve, self._can_go_on, retry_failed=retry_failed
        )

    @property
    def is_fruitless(self) -> bool:
        """All trials have ended, and none has a value: to go on is to try those again that failed."""
        return is_fruitless(self.study.records, self.budget.trials or limits.MOST_WITHOUT_VALUE)

    @property
    def running(self) -> list[TrialRecord]:
        """Trials with a running job."""
        return [self._running[number] for number in sorted(self._running)]

    @property
    def elapsed_seconds(self) -> float:
        """Wall time of the search, earlier sessions included."""
        return self._elapsed_before + self._clock() - self._began

    @property
    def steps(self) -> int:
        """Optimizer steps spent by all trials."""
        return self.study.num_steps

    @property
    def best(self) -> TrialRecord | None:
        return best_record(self.study.records, self.study.mode)

    @property
    def timeout(self) -> float:
        """Seconds that a virtual epoch may take from now on."""
        return limits.timeout_after(self._config.timeout, self.slowest)

    def going_on(self) -> set[int]:
        """Numbers of trials that need their checkpoints: running, waiting, or possibly promoted later."""
        paused = self.scheduler.may_promote(self.study, self.reserve.num_new_trials())
        return {record.number for record in (*self.running, *self._queue, *paused, *self.reserve.held)}

    def next_job(self) -> TrialRecord | Turn:
        """The trial that a free worker trains next, or what it does if there is none."""
        with self._ended_if_broken():
            self.check_limits()
            if self.ending is not None:
                return Turn.DONE
            if len(self._running) - self.num_waiting >= self.concurrency:
                return Turn.WAIT
            self.reserve.obstacles.clear()
            record, kind = self._choose()
            if record is None:
                for limit in self.reserve.obstacles if not self._running else ():
                    self.end(limit.name)
                return Turn.WAIT if self._running else Turn.DONE
            record.running = True
            self._running[record.number] = record
            self.times.begin(record.number)
            self._tell(kind, record)
            return record
        return Turn.DONE

    def on_report(self, number: int, report: Mapping[str, Any], lengths: VirtualEpochs) -> bool:
        """Record one virtual epoch of trial `number`; returns whether its job continues.

        A virtual epoch that the study holds already (it was computed again after a crash) changes nothing.
        """
        record = self.study.records[number]
        if not record.running:
            return False
        with self._ended_if_broken():
            return self._on_report(record, report, lengths)
        return False

    def _on_report(self, record: TrialRecord, report: Mapping[str, Any], lengths: VirtualEpochs) -> bool:
        if "message" in report:
            self._tell(EventKind.MESSAGE, record, text=report["message"])
        if "measured" in report:
            return self._on_measured(record, report)
        if (end := limits.own_end(report)) is not None:
            self._failed_alike.survived(record.depth + 1)
            self._finish(record, *end, report)
            return False
        objective = float(report[self._config.objective.metric])
        if report["virtual_epoch"] <= record.depth:
            self.times.repeat(record, report["seconds"])
            if text := self._repeated.difference(record, report["virtual_epoch"], objective):
                self._tell(EventKind.MESSAGE, record, text=text)
            return self._job_goes_on(record)
        if report["virtual_epoch"] != record.depth + 1:
            raise RuntimeError(f"virtual epoch {report['virtual_epoch']} was reported after {record.depth}")
        seconds, times = self.times.report(record, report["seconds"])
        self.slowest = max(self.slowest or 0.0, seconds)
        others = {each.metric: float(report[each.metric]) for each in reported(self._config)[1:]}
        self.study.report(record, objective, lengths, report["seconds"], times, others)
        self._failed_alike.survived(record.depth)
        self._tell(EventKind.REPORTED, record, report)
        self._save_elapsed()
        if record.depth >= self.budget.max_virtual_epochs:
            self._finish(record, Outcome.COMPLETED, "full length", report)
            return False
        decision = self.scheduler.decision(self.study, record)
        if decision is Decision.STOP:
            self._finish(record, Outcome.STOPPED, self.scheduler.stop_reason(record), report)
        elif decision is Decision.PAUSE or self.reserve.holds(record, self.running):
            self._end_job(record)
            self._tell(EventKind.PAUSED, record, report)
        return self._job_goes_on(record)

    def _on_measured(self, record: TrialRecord, report: Mapping[str, Any]) -> bool:
        """Record what was measured of the model; over a limit, the trial ends before its first step."""
        self.study.measure(record, report["measured"])
        if (end := limits.over_limit(record, self._config.limits)) is not None:
            self._finish(record, *end, report)
        return self._job_goes_on(record)

    def _job_goes_on(self, record: TrialRecord) -> bool:
        self.check_limits()
        if self.ending is not None and record.running:
            self.cut_off(record)
        return record.running

    def cut_off(self, record: TrialRecord) -> None:
        """End a job with the search, or with its host; the trial is among the first to continue."""
        self._end_job(record)
        self._queue.append(record)

    @property
    def _queue(self) -> list[TrialRecord]:
        """Trials that continue as soon as a worker is free."""
        assert self._waiting is not None, "recover() comes first"
        return self._waiting

    def _end_job(self, record: TrialRecord) -> None:
        record.running = False
        record.heard_of(wall_clock())
        self._running.pop(record.number, None)

    def on_lost(self, number: int, failure: Failure) -> None:
        """The job ended without a report; it is tried again from its checkpoint, or the trial has failed.

        A full disk is not the trial's fault, nor are data that change: the search ends, and can be resumed.
        """
        record = self.study.records[number]
        if record.running:
            with self._ended_if_broken():
                self._on_lost(record, failure)

    def _on_lost(self, record: TrialRecord, failure: Failure) -> None:
        if failure.kind in limits.NOT_ITS_FAULT:
            self.cut_off(record)
            self.broken = self.broken or limits.broken_by(failure)
            self.give_up(f"trial {record.number}: {failure.text}{limits.NOT_ITS_FAULT[failure.kind]}")
            return
        self._end_job(record)
        self.study.add_failure(record, failure)
        if limits.may_retry(record.failures, self._config.max_failures):
            self._queue.append(record)
            self._tell(EventKind.RETRIED, record, text=failure.text)
            return
        self._finish(record, *limits.failed_as(failure))
        self._failed_alike.add(failure.cause, record.depth)
        if self._failed_alike.count >= self._config.max_failed_trials:
            self.give_up(f"{self._failed_alike.count} trials in a row failed alike: {failure.text}")

    def give_up(self, reason: str) -> None:
        """End the search as failed."""
        self.gave_up = True
        self.end(reason)

    def on_broken(self, error: Exception) -> None:
        """The study cannot be written any more: nothing from here on would be kept."""
        self.broken = self.broken or error
        self.give_up(str(error))

    @contextmanager
    def _ended_if_broken(self) -> Iterator[None]:
        try:
            yield
        except JournalWriteError as error:
            self.on_broken(error)

    def end(self, reason: str) -> None:
        """Begin no further virtual epoch; the first reason given stands."""
        self.ending = self.ending or reason

    def close(self, *, resumable: bool) -> None:
        """After the last job; paused trials end where they are, unless the search is to be resumed."""
        if self.broken is not None:
            return
        with suppress(JournalWriteError):  # a full disk must not hide what ended the search
            self.study.save_elapsed(self.elapsed_seconds)
        if resumable:
            return
        for record in self.study.records:
            if record.outcome is None:
                reason = limits.reason_at_end(record, self.ending)
                self.study.finish(record, Outcome.STOPPED, reason, stopped_by_budget=True)

    def _choose(self) -> tuple[TrialRecord | None, EventKind]:
        if (waiting := self._next_waiting()) is not None:
            return waiting, EventKind.RESUMED if waiting.depth else EventKind.STARTED
        all_begun = limits.all_begun(self.study, self.budget)
        promoted = next(filter(self._fits, self.reserve.held), None)
        if promoted is None:
            promoted = self.scheduler.next_promotion(self.study, closing=all_begun)
            if promoted is None and not all_begun and self._fits(None):
                return self._begin(), EventKind.STARTED
            if promoted is None or not self._fits(promoted):
                promoted = self.reserve.leading(self.running, self._queue, best_only=all_begun)
        if promoted is not None:
            self._promote(promoted)
        return promoted, EventKind.PROMOTED

    def _fits(self, record: TrialRecord | None) -> bool:
        return self.reserve.admits(record, self.running)

    def _begin(self) -> TrialRecord | None:
        """A new trial, unless nothing but trials without a value would end the search."""
        study, trials = self.study, self.budget.trials
        if trials is None and (reason := limits.given_up(study, self._config.limits)):
            self.give_up(reason)
            return None
        audited = is_audited(study.records, self._config, trials)
        record = study.ask(self._points.next, audited=audited, bracket=self.scheduler.next_bracket(study))
        self._points.take(record)
        return record

    def _next_waiting(self) -> TrialRecord | None:
        for record in filter(self._fits, list(self._queue)):
            self._queue.remove(record)
            if record.outcome is None:
                self.study.go_on(record)
                return record
            # A former full length is now a virtual epoch like others, after which the scheduler decides.
            completed = record.outcome is Outcome.COMPLETED
            if not completed or self.scheduler.decision(self.study, record) is not Decision.STOP:
                self._promote(record)
                return record
            record.resumable = False
            self.study.indexes.update(record)
        return None

    def _promote(self, record: TrialRecord) -> None:
        self.study.promote(record, self.scheduler.taken_over(self.study, record))
        record.resumable = False

    def _finish(
        self, record: TrialRecord, outcome: Outcome, reason: str, report: Mapping[str, Any] | None = None
    ) -> None:
        self._end_job(record)
        self.study.finish(record, outcome, reason)
        self._tell(EventKind.ENDED, record, report, reason)

    def check_limits(self) -> None:
        """End the search if a limit is reached."""
        if self.reserve.reached is not None:
            self.end(self.reserve.reached)
        if self.ending is None and self.budget.plateau is not None:
            self.ending = ended_on_plateau(self.study, self.scheduler, self.budget.plateau)

    def _save_elapsed(self) -> None:
        if self.elapsed_seconds - self._elapsed_saved >= 5.0:
            self._elapsed_saved = self.elapsed_seconds
            self.study.save_elapsed(self._elapsed_saved)

    def _tell(
        self, kind: EventKind, record: TrialRecord, metrics: Mapping[str, Any] | None = None, text: str = ""
    ) -> None:
        self.watch(Event(kind, record, metrics or {}, text))
