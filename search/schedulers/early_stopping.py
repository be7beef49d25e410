"""Which trials go on: pure functions of the study's values, so that a restart decides alike.

A rule looks at a trial after each report (`after_report`), and, if it pauses trials, says which paused
trial goes on next (`next_promotion`). Rules keep no state.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from search.schedulers.rung_table import Standings, standings_of
from search.study.study import BROKEN_OFF, Outcome, SearchStudy, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs

if TYPE_CHECKING:
    from search.config.config import Config

Mode = Literal["max", "min"]
Axis = Literal["virtual_epochs", "steps", "samples"]


class Decision(Enum):
    """What becomes of a trial after a report."""

    GO_ON = "go on"
    PAUSE = "pause"
    STOP = "stop"


@dataclass(frozen=True)
class Rungs:
    """Amounts of training at which trials are compared: grace_period, grace_period * reduction_factor, …

    `axis` is what is counted: virtual epochs, optimizer steps or samples.
    """

    grace_period: int = 1
    reduction_factor: int = 3
    axis: Axis = "virtual_epochs"

    def level(self, record: TrialRecord, depth: int | None = None) -> int:
        """Rungs that the trial has reached with its first `depth` virtual epochs (all without it)."""
        amount = self._amount(record, record.depth if depth is None else depth)
        level, rung = 0, self.grace_period
        while amount >= rung:
            level, rung = level + 1, rung * self.reduction_factor
        return level

    def reached(self, record: TrialRecord) -> bool:
        """The last report reached a rung that the one before it had not."""
        return record.depth > 0 and self.level(record) > self.level(record, record.depth - 1)

    def value_at(self, record: TrialRecord, level: int, mode: Mode) -> float | None:
        """Best objective up to the report that reached `level`; None if the trial has not come so far."""
        rung = self.grace_period * self.reduction_factor ** (level - 1)
        depths = range(1, record.depth + 1)
        place = bisect_left(depths, rung, key=lambda depth: self._amount(record, depth))
        return record.best(mode, depths[place]) if place < len(depths) else None

    def ranked(self, records: Sequence[TrialRecord], level: int, mode: Mode) -> list[TrialRecord]:
        """The trials that have reached `level`, best first by what each had shown there.

        The lower number is first among equals. A trial that diverged later is last: what it had shown there
        was worth nothing. One that failed or ran out of memory is left out, and so takes nobody's place.
        """
        sign = -1.0 if mode == "max" else 1.0
        keys: list[tuple[float, int, TrialRecord]] = []
        for record in records:
            value = None if record.outcome in _NO_VERDICT else self.value_at(record, level, mode)
            if value is not None:
                worst = record.outcome is Outcome.DIVERGED
                keys.append((math.inf if worst else sign * value, record.number, record))
        return [record for *_, record in sorted(keys, key=lambda key: key[:2])]

    def describe(self, num_virtual_epochs: int, lengths: VirtualEpochs | None = None) -> str:
        """The rungs that a trial of full length pauses at, as text: `1, 3, 9`.

        Args:
            num_virtual_epochs: the full length.
            lengths: of a trial's virtual epochs; on another axis than virtual epochs nothing is said without.
        """
        if self.axis != "virtual_epochs" and lengths is None:
            return f"{self.grace_period}, {self.grace_period * self.reduction_factor}, …"
        limit = _amount(self.axis, lengths, num_virtual_epochs)
        rungs: list[str] = []
        rung = self.grace_period
        while rung < limit and len(rungs) < 8:
            rungs.append(str(rung))
            rung *= self.reduction_factor
        return ", ".join(rungs) or "none"

    def _amount(self, record: TrialRecord, depth: int) -> int:
        return _amount(self.axis, record.lengths, depth)


_NO_VERDICT = (Outcome.FAILED, Outcome.OUT_OF_MEMORY)


def _amount(axis: Axis, lengths: VirtualEpochs | None, depth: int) -> int:
    """What `depth` virtual epochs are on the axis."""
    if axis == "virtual_epochs" or depth == 0:
        return depth
    assert lengths is not None
    return lengths.end_step(depth) if axis == "steps" else lengths.samples_at(depth)


class Rule(Protocol):
    """How a search ends trials early."""

    rungs: Rungs
    """Used to compare trials of different depth, also by rules that stop by other means."""
    pauses: bool
    """Trials pause at rungs, and some are promoted from there."""

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision: ...

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None: ...

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        """Paused trials that may still be promoted when at most `num_new` trials are yet to begin."""
        ...

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        """Virtual epochs that a whole search should take, where that can be said.

        `lengths` are those of a typical trial, for rungs that are not counted in virtual epochs.
        """
        ...


class Promotion:
    """Asynchronous successive halving (Li et al., arXiv:1810.05934): pause at each rung, promote the best.

    A paused trial is promoted when it is among the best 1/reduction_factor of all that have reached its
    rung; deeper rungs first. Once no new trial will begin (`closing`) and nothing is running or promotable,
    the best trial of the deepest rung goes on alone, so that a search ends with a fully trained trial even
    where the trials are too few for the fraction to give one.
    """

    pauses = True

    def __init__(self, rungs: Rungs, mode: Mode, num_virtual_epochs: int) -> None:
        self.rungs = rungs
        self._mode = mode
        self._num_virtual_epochs = num_virtual_epochs

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        at_end = record.depth >= self._num_virtual_epochs
        return Decision.PAUSE if self.rungs.reached(record) and not at_end else Decision.GO_ON

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        standings = standings_of(study, self.rungs, self._mode)
        for level in range(standings.num_levels, 0, -1):
            place, record = next(standings.waiting(level), (0, None))
            if record is not None and place < standings.num_ranked(level) // self.rungs.reduction_factor:
                return record
        alone = closing and not any(r.running for r in study.records)
        return self._winner(study.records, standings) if alone else None

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        # Rung by rung: as many as would go on if all came there that can; and the best, who may do so alone.
        standings = standings_of(study, self.rungs, self._mode)
        found: list[TrialRecord] = []
        to_come = num_new
        for level in range(standings.num_levels + 1):
            waiting = list(standings.waiting(level))
            places = (standings.num_ranked(level) + to_come) // self.rungs.reduction_factor
            promotable = [r for place, r in waiting if place < places] or [r for _, r in waiting[:1]]
            found += promotable
            to_come += len(promotable) + standings.num_unended(level) - len(waiting)
        return found

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        if self.rungs.axis != "virtual_epochs" and lengths is None:
            return None
        amounts = [_amount(self.rungs.axis, lengths, depth) for depth in range(1, num_virtual_epochs)]
        total, depth, rung, left = 0, 0, self.rungs.grace_period, num_trials
        while left >= 1 and (place := bisect_left(amounts, rung)) < len(amounts):
            # Several rungs may lie within one virtual epoch: a trial pauses once, at the last of them.
            while rung <= amounts[place]:
                rung *= self.rungs.reduction_factor
            total += left * (place + 1 - depth)
            depth, left = place + 1, left // self.rungs.reduction_factor
        return total + max(1, left) * (num_virtual_epochs - depth)

    def _winner(self, records: Sequence[TrialRecord], standings: Standings) -> TrialRecord | None:
        """The best paused trial of the deepest rung, unless a trial is trained to its end already.

        That is its full length, or a plateau where it was the best of that rung.
        """
        trained = any(r.depth >= self._num_virtual_epochs and r.outcome not in BROKEN_OFF for r in records)
        levels = range(standings.num_levels, 0, -1)
        deepest = next((level for level in levels if next(standings.waiting(level), None)), None)
        if deepest is None or trained:
            return None
        rivals = [record for _, record in standings.waiting(deepest)]
        rivals += [record for record in records if _has_stopped(record)]
        best = self.rungs.ranked(rivals, deepest, self._mode)[0]
        return None if _has_stopped(best) else best


def _has_stopped(record: TrialRecord) -> bool:
    return record.outcome is Outcome.STOPPED and not record.cut_off


class _NoPromotion:
    """The part of a rule that never pauses a trial."""

    pauses = False

    def next_promotion(self, study: SearchStudy, *, closing: bool) -> TrialRecord | None:
        return None

    def may_promote(self, study: SearchStudy, num_new: int) -> list[TrialRecord]:
        return []

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        return None


class Unstopped(_NoPromotion):
    """Every trial runs to its full length."""

    rungs = Rungs()

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        return Decision.GO_ON

    def expected_virtual_epochs(
        self, num_trials: int, num_virtual_epochs: int, lengths: VirtualEpochs | None = None
    ) -> int | None:
        return num_trials * num_virtual_epochs


class Stopping(_NoPromotion):
    """Asynchronous successive halving by stopping: at each rung a trial that is not among the best
    1/reduction_factor of those that came there before it ends."""

    def __init__(self, rungs: Rungs, mode: Mode) -> None:
        self.rungs = rungs
        self._mode = mode

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        if not self.rungs.reached(record):
            return Decision.GO_ON
        return _halve(self.rungs, standings_of(study, self.rungs, self._mode), record, self._mode)


class Hyperband(_NoPromotion):
    """Several successive halvings side by side, each with its own first rung (Li et al., arXiv:1603.06560).

    Which of them a trial belongs to is a function of its number: in turn, each as often as its share.
    Optuna's pruner is not used: it writes into the study when it is asked, so a process that dies there
    decides otherwise afterwards.
    """

    def __init__(self, grace_period: int, reduction_factor: int, mode: Mode, num_virtual_epochs: int) -> None:
        self.rungs = Rungs(grace_period, reduction_factor)
        self._mode = mode
        first_rungs = [grace_period]
        while first_rungs[-1] * reduction_factor <= num_virtual_epochs:
            first_rungs.append(first_rungs[-1] * reduction_factor)
        self._brackets = [Rungs(rung, reduction_factor) for rung in first_rungs]
        count = len(first_rungs)
        # n in Algorithm 1 of the paper, the bracket with the smallest first rung first.
        shares = [math.ceil(count * reduction_factor**s / (s + 1)) for s in reversed(range(count))]
        self._turns = _in_turn(shares)

    def bracket(self, number: int) -> int:
        """The bracket of trial `number`; 0 has the smallest first rung."""
        return self._turns[number % len(self._turns)]

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        bracket = self.bracket(record.number)
        rungs = self._brackets[bracket]
        if not rungs.reached(record):
            return Decision.GO_ON
        standings = standings_of(
            study, rungs, self._mode, group=bracket, among=lambda number: self.bracket(number) == bracket
        )
        return _halve(rungs, standings, record, self._mode)


def _halve(rungs: Rungs, standings: Standings, record: TrialRecord, mode: Mode) -> Decision:
    """Stop a trial that has just reached a rung and is not among the best 1/reduction_factor there."""
    level = rungs.level(record)
    place = max(1, standings.num_ranked(level) // rungs.reduction_factor) - 1
    as_good = rungs.value_at(standings.at(level, place), level, mode) == rungs.value_at(record, level, mode)
    return Decision.GO_ON if as_good or standings.place(record, level) <= place else Decision.STOP


def _in_turn(shares: Collection[int]) -> list[int]:
    """Indices of `shares`, each as often as its share says, spread evenly."""
    turns: list[int] = []
    for length in range(1, sum(shares) + 1):
        lags = [share * length / sum(shares) - turns.count(index) for index, share in enumerate(shares)]
        turns.append(max(range(len(lags)), key=lags.__getitem__))
    return turns


class _Completed:
    """As much of an Optuna study as the pruners below look at: trials of full length, each once.

    In the study itself, a trial that went on after it had ended is there twice.
    """

    def __init__(self, study: SearchStudy) -> None:
        self.direction = study.study.direction
        self._trials = study.completed()

    def get_trials(
        self, deepcopy: bool = True, states: Collection[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._trials


class Pruning(_NoPromotion):
    """Asks an Optuna pruner, which looks at completed trials only, after each virtual epoch."""

    def __init__(self, pruner: optuna.pruners.BasePruner) -> None:
        self.rungs = Rungs()
        self._pruner = pruner

    def after_report(self, study: SearchStudy, record: TrialRecord) -> Decision:
        completed: Any = _Completed(study)
        prune = self._pruner.prune(completed, study.frozen(record))
        return Decision.STOP if prune else Decision.GO_ON


def build_rule(config: Config) -> Rule:
    """The rule that `scheduler:` names, and `plateau:` with it."""
    rule, plateau = _scheduler_rule(config), config.plateau
    if plateau is None:
        return rule
    from search.schedulers.plateau import EndedByPlateau

    return EndedByPlateau(
        rule,
        patience=plateau.patience,
        min_delta=plateau.min_delta,
        ema=plateau.ema,
        mode=config.objective.mode,
    )


def _scheduler_rule(config: Config) -> Rule:
    scheduler, mode = config.scheduler, config.objective.mode
    length = config.budget.max_virtual_epochs
    if scheduler.name == "asha":
        return Promotion(
            Rungs(scheduler.grace_period, scheduler.reduction_factor, scheduler.axis), mode, length
        )
    if scheduler.name == "asha_stop":
        return Stopping(Rungs(scheduler.grace_period, scheduler.reduction_factor, scheduler.axis), mode)
    if scheduler.name == "hyperband":
        return Hyperband(scheduler.grace_period, scheduler.reduction_factor, mode, length)
    # Optuna's warm-up is the first report that may end a trial; ours are virtual epochs in which none ends.
    if scheduler.name == "median":
        pruner = optuna.pruners.MedianPruner(
            scheduler.startup_trials, n_warmup_steps=scheduler.grace_period + 1
        )
        return Pruning(pruner)
    if scheduler.name == "percentile":
        pruner = optuna.pruners.PercentilePruner(
            scheduler.percentile, scheduler.startup_trials, n_warmup_steps=scheduler.grace_period + 1
        )
        return Pruning(pruner)
    return Unstopped()
