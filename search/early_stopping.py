"""Which trials go on: pure functions of the study's values, so that a restart decides alike.

A rule looks at a trial after each report (`after_report`), and, if it pauses trials, says which paused
trial goes on next (`next_promotion`). Rules keep no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

import optuna

from search.study import SearchStudy, TrialRecord

if TYPE_CHECKING:
    from search.config import Config

Mode = Literal["max", "min"]
Axis = Literal["virtual_epochs", "steps", "samples"]


class Decision(Enum):
    """What becomes of a trial after a report."""

    GO_ON = "go on"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class Rungs:
    """Amounts of training at which trials are compared: grace, grace * reduction_factor, …

    `axis` is what is counted: virtual epochs, optimizer steps or samples.
    """

    grace: int = 1
    reduction_factor: int = 3
    axis: Axis = "virtual_epochs"

    def level(self, record: TrialRecord, depth: int | None = None) -> int:
        """Rungs that the trial has reached with its first `depth` virtual epochs (all without it)."""
        amount = self._amount(record, record.depth if depth is None else depth)
        level, rung = 0, self.grace
        while amount >= rung:
            level, rung = level + 1, rung * self.reduction_factor
        return level

    def reached(self, record: TrialRecord) -> bool:
        """The last report reached a rung that the one before it had not."""
        return record.depth > 0 and self.level(record) > self.level(record, record.depth - 1)

    def value_at(self, record: TrialRecord, level: int, mode: Mode) -> float | None:
        """Best objective up to the report that reached `level`; None if the trial has not come so far."""
        for depth in range(1, record.depth + 1):
            if self.level(record, depth) >= level:
                return record.best(mode, depth)
        return None

    def _amount(self, record: TrialRecord, depth: int) -> int:
        if self.axis == "virtual_epochs" or depth == 0:
            return depth
        assert record.lengths is not None
        return record.lengths.end_step(depth) if self.axis == "steps" else record.lengths.samples_at(depth)

    def describe(self, limit: int) -> str:
        """The rungs below `limit` as text: `1, 3, 9`."""
        rungs, rung = [], self.grace
        while rung < limit and len(rungs) < 8:
            rungs.append(str(rung))
            rung *= self.reduction_factor
        return ", ".join(rungs) or "none"


class Rule(Protocol):
    """How a search ends trials early."""

    rungs: Rungs
    """Used to compare trials of different depth, also by rules that stop by other means."""

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision: ...

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None: ...

    def expected_virtual_epochs(self, num_trials: int, num_virtual_epochs: int) -> int | None:
        """Virtual epochs that a whole search should take, where that can be said beforehand."""
        ...


class Promotion:
    """Asynchronous successive halving (Li et al., arXiv:1810.05934): pause at each rung, promote the best.

    A paused trial is promoted when it is among the best 1/reduction_factor of all that have reached its
    rung; deeper rungs first. Once no new trial will begin (`closing`) and nothing is running or promotable,
    the best trial of the deepest rung goes on alone, so that a search ends with a fully trained trial even
    where the trials are too few for the fraction to give one.
    """

    def __init__(self, rungs: Rungs, mode: Mode, num_virtual_epochs: int) -> None:
        self.rungs = rungs
        self._sign = 1.0 if mode == "max" else -1.0
        self._mode = mode
        self._num_virtual_epochs = num_virtual_epochs

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        at_end = record.depth >= self._num_virtual_epochs
        return Decision.PAUSE if self.rungs.reached(record) and not at_end else Decision.GO_ON

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        levels = {r.number: self.rungs.level(r) for r in study.records}
        paused = [r for r in study.records if self._is_paused(r)]
        for level in sorted({levels[r.number] for r in paused}, reverse=True):
            ranked = self._ranked([r for r in study.records if levels[r.number] >= level], level)
            best = ranked[: len(ranked) // self.rungs.reduction_factor]
            for record in best:
                if levels[record.number] == level and record in paused:
                    return record
        alone = closing and not any(r.running for r in study.records)
        return self._winner(study.records, paused, levels) if alone else None

    def expected_virtual_epochs(self, num_trials: int, num_virtual_epochs: int) -> int | None:
        if self.rungs.axis != "virtual_epochs":
            return None
        total, depth, rung, left = 0, 0, self.rungs.grace, num_trials
        while left >= 1 and rung < num_virtual_epochs:
            total += left * (rung - depth)
            depth, rung, left = rung, rung * self.rungs.reduction_factor, left // self.rungs.reduction_factor
        return total + max(1, left) * (num_virtual_epochs - depth)

    def _is_paused(self, record: TrialRecord) -> bool:
        return record.outcome is None and not record.running and self.rungs.reached(record)

    def _ranked(self, records: Sequence[TrialRecord], level: int) -> list[TrialRecord]:
        """Best first by what each had shown at `level`, the lower number first among equals."""

        def key(record: TrialRecord) -> tuple[float, int]:
            value = self.rungs.value_at(record, level, self._mode)
            assert value is not None
            return -self._sign * value, record.number

        return sorted(records, key=key)

    def _winner(
        self, records: Sequence[TrialRecord], paused: Sequence[TrialRecord], levels: dict[int, int]
    ) -> TrialRecord | None:
        """The best paused trial of the deepest rung, unless a trial is trained to the end already."""
        if not paused or any(r.depth >= self._num_virtual_epochs for r in records):
            return None
        deepest = max(levels[r.number] for r in paused)
        return self._ranked([r for r in paused if levels[r.number] == deepest], deepest)[0]


class Stopping:
    """Asynchronous successive halving by stopping: at each rung a trial that is not among the best
    1/reduction_factor of those that came there before it ends."""

    def __init__(self, rungs: Rungs, mode: Mode) -> None:
        self.rungs = rungs
        self._mode = mode
        self._sign = 1.0 if mode == "max" else -1.0

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        if not self.rungs.reached(record):
            return Decision.GO_ON
        level = self.rungs.level(record)
        values = [self.rungs.value_at(r, level, self._mode) for r in study.records]
        ranked = sorted((self._sign * v for v in values if v is not None), reverse=True)
        threshold = ranked[max(1, len(ranked) // self.rungs.reduction_factor) - 1]
        own = record.best(self._mode)
        assert own is not None
        return Decision.GO_ON if self._sign * own >= threshold else Decision.STOP

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        return None

    def expected_virtual_epochs(self, num_trials: int, num_virtual_epochs: int) -> int | None:
        return None


class Pruning:
    """Asks an Optuna pruner after each virtual epoch."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self.rungs = Rungs()
        self._pruner = pruner

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        prune = self._pruner.prune(study.study, study.frozen(record))
        return Decision.STOP if prune else Decision.GO_ON

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        return None

    def expected_virtual_epochs(self, num_trials: int, num_virtual_epochs: int) -> int | None:
        return None


def build_rule(config: Config) -> Rule:
    """The rule that `scheduler:` names."""
    scheduler, mode = config.scheduler, config.objective.mode
    length = config.budget.virtual_epochs
    if scheduler.name in ("asha", "asha_stop"):
        rungs = Rungs(scheduler.grace, scheduler.reduction_factor, scheduler.axis)
        return Promotion(rungs, mode, length) if scheduler.name == "asha" else Stopping(rungs, mode)
    return Pruning(_build_pruner(config))


def _build_pruner(config: Config) -> optuna.pruners.BasePruner:
    scheduler = config.scheduler
    pruners = optuna.pruners
    if scheduler.name == "hyperband":
        return pruners.HyperbandPruner(
            min_resource=scheduler.grace,
            max_resource=config.budget.virtual_epochs,
            reduction_factor=scheduler.reduction_factor,
        )
    # Optuna's warm-up counts reported steps before the first decision; ours the virtual epochs granted.
    if scheduler.name == "median":
        return pruners.MedianPruner(scheduler.startup_trials, n_warmup_steps=scheduler.grace)
    if scheduler.name == "percentile":
        return pruners.PercentilePruner(
            scheduler.percentile, scheduler.startup_trials, n_warmup_steps=scheduler.grace
        )
    if scheduler.name == "patient":
        return pruners.PatientPruner(None, patience=scheduler.patience, min_delta=scheduler.min_delta)
    return pruners.NopPruner()
