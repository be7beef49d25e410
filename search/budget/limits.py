"""The limits of a search's compute: what is spent of each, and what training a trial further would take."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

from search.budget.totals import totals_of
from search.config.config import Config
from search.study.spent import Spent
from search.study.study import SearchStudy
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs

NumStarts = Callable[[TrialRecord | None, int, int], int]


class Limit(ABC):
    """One limit of a budget, in units of its own.

    Args:
        study: what was spent is derived from it.
        config: of the search.
        total: the limit.
    """

    key: ClassVar[str]
    """In `budget:`."""
    name: ClassVar[str]
    """As in `step limit`, the reason of a search that ends there."""
    shared: ClassVar[bool] = True
    """Trials that run at once draw on it together; of wall time each has all that is left."""

    def __init__(self, study: SearchStudy, config: Config, total: float) -> None:
        self.total = total
        self._study, self._config = study, config

    @property
    @abstractmethod
    def spent(self) -> float:
        """What the search has taken of it."""

    @abstractmethod
    def cost(self, record: TrialRecord | None, start: int, stop: int, *, safely: bool = True) -> float:
        """What virtual epochs `start` + 1 to `stop` of a trial take; 0 as long as nobody can know.

        Args:
            record: the trial; None for a new one.
            start, stop: depths.
            safely: with a margin, where this is an estimate.
        """

    @property
    def is_exact(self) -> bool:
        """What a virtual epoch takes is known before it has begun."""
        return True

    @property
    def is_known(self) -> bool:
        """What a new trial takes is known, or can be estimated from others."""
        return True

    @property
    def left(self) -> float:
        return self.total - self.spent

    @property
    def full_training(self) -> float:
        """What a trial of full length takes, without a margin."""
        return self.cost(None, 0, self._config.budget.max_virtual_epochs, safely=False)

    @property
    def _now(self) -> Spent:
        return totals_of(self._study).spent

    def _broken_off(self) -> float:
        """What virtual epochs took that ended with their trial: trials that diverge at once are not free."""
        count = self._now.broken_off
        return count * self.cost(None, 0, 1, safely=False) if count else 0.0


class FullTrainings(Limit):
    """Virtual epochs, as many as so many trials of full length have."""

    key, name = "full_trainings", "compute limit"

    @property
    def spent(self) -> float:
        return self._now.virtual_epochs + self._now.broken_off

    def cost(self, record: TrialRecord | None, start: int, stop: int, *, safely: bool = True) -> float:
        return stop - start


class _Counted(Limit):
    """Steps or samples, by the lengths of virtual epochs."""

    @abstractmethod
    def _at(self, lengths: VirtualEpochs, depth: int) -> int:
        """What a trial with these lengths has drawn at a depth."""

    @abstractmethod
    def _known(self, depth: int) -> int | None:
        """What any trial has drawn at a depth, if the configuration says so."""

    @property
    def is_exact(self) -> bool:
        return self._known(1) is not None

    @property
    def is_known(self) -> bool:
        return self.is_exact or bool(totals_of(self._study).lengths)

    def cost(self, record: TrialRecord | None, start: int, stop: int, *, safely: bool = True) -> float:
        if record is not None and record.lengths is not None:
            return self._between(record.lengths, start, stop)
        known = self._known(stop)
        if known is not None:
            return known - (self._known(start) or 0)
        # The longest so far: a new trial may have their batch size too.
        seen = totals_of(self._study).lengths
        return max((self._between(lengths, start, stop) for lengths in seen), default=0)

    def _between(self, lengths: VirtualEpochs, start: int, stop: int) -> int:
        return self._at(lengths, stop) - (self._at(lengths, start) if start else 0)


class Steps(_Counted):
    """Optimizer steps of all trials."""

    key, name = "steps", "step limit"

    @property
    def spent(self) -> float:
        return self._now.steps + self._broken_off()

    def _at(self, lengths: VirtualEpochs, depth: int) -> int:
        return lengths.end_step(depth)

    def _known(self, depth: int) -> int | None:
        length = self._config.virtual_epoch
        return depth * length.count if length.unit == "steps" else None


class Samples(_Counted):
    """Training samples of all trials."""

    key, name = "samples", "sample limit"

    @property
    def spent(self) -> float:
        return self._now.samples + self._broken_off()

    def _at(self, lengths: VirtualEpochs, depth: int) -> int:
        return lengths.samples_at(depth)

    def _known(self, depth: int) -> int | None:
        return None


class _Timed(Limit):
    """Measured: a trial by its own mean, a new one by that of all; a standard deviation is the margin."""

    @property
    def is_exact(self) -> bool:
        return False

    @property
    def is_known(self) -> bool:
        return self._mean(None) is not None

    def _mean(self, record: TrialRecord | None) -> float | None:
        """Seconds of a virtual epoch by the trials' own reports, where any was measured."""
        now = self._now
        if record is not None and record.values and record.seconds:
            return record.seconds / record.depth
        return now.ms / 1000 / now.virtual_epochs if now.virtual_epochs else None

    def cost(self, record: TrialRecord | None, start: int, stop: int, *, safely: bool = True) -> float:
        mean = self._mean(record)
        if mean is None:
            return 0.0
        own = record is not None and record.values
        deviation = _deviation(self._now, within=bool(own)) if safely else 0.0
        return (stop - start) * mean * (1 + deviation)


class GpuHours(_Timed):
    """Seconds of trials, times the GPUs that each has."""

    key, name = "gpu_hours", "GPU limit"

    def __init__(self, study: SearchStudy, config: Config, total: float) -> None:
        super().__init__(study, config, total * 3600)

    @property
    def spent(self) -> float:
        return self._now.ms / 1000 * self._gpus + self._broken_off()

    @property
    def _gpus(self) -> float:
        return self._config.resources.gpus_per_trial

    def _mean(self, record: TrialRecord | None) -> float | None:
        mean = super()._mean(record)
        return None if mean is None else mean * self._gpus


class WallTime(_Timed):
    """Wall time of the search: what trials report, what virtual epochs take besides, and starts of jobs.

    Args:
        study, config, total: see `Limit`.
        elapsed: seconds of the search so far.
        num_starts: see `limits_of`.
    """

    key, name = "time", "time limit"
    shared = False

    def __init__(
        self,
        study: SearchStudy,
        config: Config,
        total: float,
        elapsed: Callable[[], float],
        num_starts: NumStarts,
    ) -> None:
        super().__init__(study, config, total)
        self._elapsed, self._num_starts = elapsed, num_starts

    @property
    def spent(self) -> float:
        return self._elapsed()

    def _mean(self, record: TrialRecord | None) -> float | None:
        mean, times = super()._mean(record), self._now.times
        if mean is None or not times.besides:
            return mean
        return mean + times.beside_ms / 1000 / times.besides

    def cost(self, record: TrialRecord | None, start: int, stop: int, *, safely: bool = True) -> float:
        seconds, times = super().cost(record, start, stop, safely=safely), self._now.times
        if not times.starts:
            return seconds
        return seconds + self._num_starts(record, start, stop) * times.start_ms / 1000 / times.starts


def limits_of(
    study: SearchStudy, config: Config, elapsed: Callable[[], float], num_starts: NumStarts
) -> Iterator[Limit]:
    """The limits of compute that a configuration gives.

    Args:
        study: what was spent is derived from it.
        config: of the search.
        elapsed: seconds of the search so far.
        num_starts: how many jobs begin while a trial, or a new one, trains from one depth to another.
    """
    budget = config.budget
    if budget.full_trainings is not None:
        virtual_epochs = math.floor(budget.full_trainings * budget.max_virtual_epochs + 1e-9)
        yield FullTrainings(study, config, virtual_epochs)
    if budget.seconds is not None:
        yield WallTime(study, config, budget.seconds, elapsed, num_starts)
    if budget.steps is not None:
        yield Steps(study, config, budget.steps)
    if budget.samples is not None:
        yield Samples(study, config, budget.samples)
    if budget.gpu_hours is not None:
        yield GpuHours(study, config, budget.gpu_hours)


def _deviation(spent: Spent, *, within: bool) -> float:
    """Standard deviation of the seconds of virtual epochs, as a share of their mean, at most 1.

    Args:
        spent: of all trials.
        within: of those of one trial; else of all trials, which differ by their parameters too.
    """
    count, ms = spent.times.timed, spent.times.ms
    if count < 2 or not ms:
        return 0.0
    squares = spent.within if within else spent.times.squares - ms * ms / count
    return min(1.0, math.sqrt(max(0.0, squares) / (count - 1)) * count / ms)
