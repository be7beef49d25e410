"""One trial as the study holds it, and which trials are the best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean
from typing import Any, NamedTuple

from search.config.schema import Mode
from search.space.space import Resolved, Space
from search.study.times import Times, wall_clock
from trainables.best_window import best_mean, best_virtual_epoch
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import Failure


class Outcome(StrEnum):
    """How a trial ended."""

    COMPLETED = "completed"
    """trained to its full length"""
    STOPPED = "stopped"
    """ended early, by the scheduler or at the end of the run"""
    DIVERGED = "diverged"
    """a loss, gradient or objective that is not finite"""
    FAILED = "failed"
    """an error in every attempt"""
    OUT_OF_MEMORY = "out of memory"
    OVER_LIMIT = "over the limit"
    """its model is larger or slower than `limits:` allow; nothing was trained"""


BROKEN_OFF = (Outcome.DIVERGED, Outcome.FAILED, Outcome.OUT_OF_MEMORY, Outcome.OVER_LIMIT)
"""Ends of trials that never count as good, whatever their values."""

Point = Mapping[str, Any]
"""Some or all of a trial's parameters, which a new trial takes before the sampler gives any."""

NO_VERDICT = (Outcome.FAILED, Outcome.OUT_OF_MEMORY)
"""Ends that say nothing about a trial's parameters, so that it has no rank at its rungs."""


class TakenOver(NamedTuple):
    """Where a trial of a population went on from another one's checkpoint, see `search.schedulers.pbt`."""

    at: int
    """The virtual epoch after which it did, of both."""
    donor: int
    """Number of the trial whose checkpoint it took."""
    params: Mapping[str, Any]
    """Its parameters from there on."""


class JobTimes(NamedTuple):
    """When a job ran, in seconds since 1970 by the clock of the search's machine."""

    began: float
    heard_of: float
    """When it last reported, or ended."""
    after: int
    """Virtual epochs that the trial had come when it began."""


@dataclass(eq=False)
class TrialRecord:
    """One trial as the study holds it; changed only by `SearchStudy`."""

    number: int
    trial_id: int
    """Id of the Optuna trial; a trial that continues after its end gets a new one."""
    space: Space = field(repr=False)
    """What it was drawn from."""
    params: dict[str, Any]
    """Those of now; they change only where the trial goes on from another one."""
    space_number: int = 0
    """Number of that space in the study."""
    known: dict[str, Any] | None = None
    """The point to evaluate that it took: some or all of its parameters."""
    drawn: dict[str, Any] = field(default_factory=dict, repr=False)
    """The parameters with which it began."""
    taken_over: list[TakenOver] = field(default_factory=list)
    """Where it went on from other trials, in order."""
    data_number: int = 0
    """Number of the data that it was trained on, in the study."""
    window: int = 1
    """Successive virtual epochs by whose mean it is compared with other trials, see `best_virtual_epoch`."""
    measured: dict[str, float] = field(default_factory=dict)
    """Of its model before the first step, see `trainables.measure`."""
    values: list[float] = field(default_factory=list)
    """Objective of virtual epochs 1, 2, … that have been reported."""
    others: list[dict[str, float]] = field(default_factory=list)
    """The other objectives that are reported, of each virtual epoch; empty with one objective."""
    lengths: VirtualEpochs | None = None
    """Lengths of its virtual epochs; known from its first report."""
    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    sequence: int = 0
    """Number of its last report or end among all of the study, from 1; 0 without one."""
    last_report: int = 0
    """Number of its last report."""
    of_other_data: bool = False
    """Trained on other data than the search has now: its values do not compare with those of new trials."""
    audited: bool = False
    """Let through to full length whatever its values; it takes no part in promotion and stopping."""
    bracket: int = 0
    """Rungs that it passes without a pause, see `search.schedulers.brackets`."""
    promoted_at: int = 0
    """Virtual epoch from which it was last promoted."""
    held_at: int = 0
    """Virtual epoch at which it paused for the budget although its scheduler had it go on."""
    times: Times = field(default_factory=Times)
    jobs: list[JobTimes] = field(default_factory=list)
    """In turn; older versions kept none, and of one that was killed before it reported nothing is kept."""
    failures: list[Failure] = field(default_factory=list)
    """Failed attempts."""
    outcome: Outcome | None = None
    reason: str = ""
    """Why it ended."""
    stopped_by_budget: bool = False
    """Stopped only because the search ended: it may continue in a longer one."""
    running: bool = False
    """A worker is training it now; known in this process only."""
    resumable: bool = False
    """Ended, but may continue since its run has grown; known in this process only."""
    _mean: tuple[Any, float | None] = field(default=(None, None), init=False, repr=False)
    """The last answer of `mean`, and what it depended on."""

    @property
    def resolved(self) -> Resolved:
        """Its configuration, derived from the parameters at each access: a study has thousands of trials."""
        return self.space.resolve(self.params)

    def params_at(self, virtual_epoch: int) -> Mapping[str, Any]:
        """The parameters with which a virtual epoch, from 1, was trained."""
        before = [item.params for item in self.taken_over if item.at < virtual_epoch]
        if before:
            return before[-1]
        return self.drawn if self.taken_over else self.params

    def options_at(self, virtual_epoch: int) -> dict[str, Any]:
        """The trial's options in a virtual epoch, from 1."""
        return self.space.resolve(self.params_at(virtual_epoch)).options

    @property
    def depth(self) -> int:
        """Number of virtual epochs that were reported."""
        return len(self.values)

    def begin_job(self) -> None:
        """A job begins now; one before it of which nothing was heard counts for nothing."""
        if self.jobs and self.jobs[-1].began == self.jobs[-1].heard_of:
            self.jobs.pop()
        # The clock may have been set back since, and the search may go on on another machine.
        now = max(wall_clock(), self.jobs[-1].heard_of if self.jobs else 0.0)
        self.jobs.append(JobTimes(now, now, self.depth))

    def heard_of(self, at: float) -> None:
        """Its job was heard of at that time, in seconds since 1970: it has lasted a millisecond at least."""
        if self.jobs and at >= self.jobs[-1].began:
            last = self.jobs[-1]
            self.jobs[-1] = last._replace(heard_of=max(last.heard_of, at, round(last.began + 0.001, 3)))

    def best(self, mode: Mode, depth: int | None = None) -> float | None:
        """Best report of the first `depth` virtual epochs (default: all), as rungs compare it; None before
        the first."""
        values = self.values[:depth]
        return (max(values) if mode == "max" else min(values)) if values else None

    def best_virtual_epoch(self, mode: Mode, depth: int | None = None) -> int:
        """The one (from 1) whose checkpoint is the trial's best, of the first `depth` (default: all).

        It ends the window of the best mean, see `trainables.best_window`; 0 before the first.
        """
        return best_virtual_epoch(self.values[:depth], mode, self.window)

    def value(self, mode: Mode) -> float | None:
        """The objective at its best virtual epoch; None before the first."""
        return self.values[self.best_virtual_epoch(mode) - 1] if self.values else None

    def mean(self, mode: Mode) -> float | None:
        """The best mean over a window of reports, by which it is ranked; None as long as there are fewer."""
        now = (mode, self.depth, self.window, self.outcome is Outcome.COMPLETED)
        if self._mean[0] != now:
            mean = best_mean(self.values, mode, self.window) if self.depth >= self.window else None
            if mean is None and self.outcome is Outcome.COMPLETED and self.values:
                mean = fmean(self.values)  # a training function may return before, and then no more will come
            self._mean = now, mean
        return self._mean[1]

    def standing(self, mode: Mode) -> float | None:
        """What it is ranked by: `mean`, or its best report as long as it has none; None without a report."""
        mean = self.mean(mode)
        return self.best(mode) if mean is None else mean


def as_loss(value: float, mode: Mode) -> float:
    """The objective as a number to minimize."""
    return -value if mode == "max" else value


def ranked(records: Sequence[TrialRecord], mode: Mode) -> list[TrialRecord]:
    """The trials with a value, best first, those of other data last; the lower number first among equals.

    They are compared by the best mean over a window of reports; those with fewer reports, whose best may be
    luck, come after all that have as many. Trials that diverged, failed or ran out of memory are left out.
    """
    return [record for *_, record in sorted(_with_rank_keys(records, mode))]


def best_record(records: Sequence[TrialRecord], mode: Mode) -> TrialRecord | None:
    """The first of `ranked`, the best trial of a search; None if there is none."""
    *_, best = min(_with_rank_keys(records, mode), default=(None,))
    return best


def untried(points: Sequence[Point], records: Sequence[TrialRecord]) -> Iterator[Point]:
    """The points to evaluate that no trial on the data of now has taken, in order; equal ones once.

    A trial has taken the point that was given to it, and one that has all of its parameters by chance.
    """
    if not points:
        return
    records = [record for record in records if not record.of_other_data]
    given = [record.known for record in records if record.known is not None]
    taken = {frozenset(params.items()) for params in (*given, *(r.params for r in records))}
    for point in points:
        key = frozenset(point.items())
        if key not in taken:
            taken.add(key)
            yield point


def _with_rank_keys(
    records: Sequence[TrialRecord], mode: Mode
) -> list[tuple[bool, bool, float, int, TrialRecord]]:
    # Numbers before records, which have no order.
    return [
        (record.of_other_data, mean is None, as_loss(standing, mode), record.number, record)
        for record in records
        if record.values and record.outcome not in BROKEN_OFF
        for mean in [record.mean(mode)]
        if (standing := record.best(mode) if mean is None else mean) is not None
    ]
