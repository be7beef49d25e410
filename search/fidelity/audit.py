"""How far values at rungs can be believed: ranks there against those at full length; what stopping cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.config.config import Config
from search.config.schema import Mode
from search.schedulers.base import Rungs
from search.study.trial import BROKEN_OFF, TrialRecord, as_loss

MIN_TRIALS = 5
"""Fewer say nothing about a correlation."""
BELIEVED = 0.5
"""Correlation from which on a rung is worth deciding at."""
SURE = 0.9
"""Correlation from which on trials could be told apart earlier."""


@dataclass(frozen=True, kw_only=True)
class RungAgreement:
    """One rung against full length, among the trials that reached both."""

    rung: int
    """In units of the axis."""
    trials: int
    correlation: float | None
    """Spearman's; None of fewer than MIN_TRIALS, and where all values are equal."""
    audited: int
    """Those of the trials that were let through whatever their values."""
    audited_correlation: float | None
    """The same among these alone, which are not the survivors of a selection."""
    stopped: int
    """Audited trials that are not among the best 1/reduction_factor here."""
    lost: float | None
    """By how much the best of these ended better than all others of full length; None if there are none."""

    @property
    def believable(self) -> float | None:
        """The correlation among the audited, or else among all."""
        return self.correlation if self.audited_correlation is None else self.audited_correlation


@dataclass(frozen=True, kw_only=True)
class FidelityAudit:
    """What a search itself tells of its rungs."""

    axis: str
    full_length: int
    """Virtual epochs."""
    asked: int
    """`scheduler.audit`"""
    survivors_only: bool
    """Some trials ended early, and of those that did not too few were chosen whatever their values."""
    rungs: list[RungAgreement]
    grace_period: str
    """Advice, with its reason."""
    virtual_epoch: str
    """The same on its length."""

    @property
    def says_something(self) -> bool:
        """Any correlation is known, or was asked for."""
        return self.asked > 0 or any(rung.correlation is not None for rung in self.rungs)


def read_audit(written: Mapping[str, Any] | None) -> FidelityAudit | None:
    """What a summary.json holds; raises KeyError or TypeError."""
    if written is None:
        return None
    return FidelityAudit(**{**written, "rungs": [RungAgreement(**rung) for rung in written["rungs"]]})


def audit(records: Sequence[TrialRecord], rungs: Rungs, config: Config) -> FidelityAudit | None:
    """The rungs of a search against its full length; None where it has no rung below that.

    Args:
        records: its trials, which may still be running.
        rungs: where they are compared.
        config: of the search.
    """
    mode, length, unit = config.objective.mode, config.budget.max_virtual_epochs, config.virtual_epoch
    counted = [r for r in records if r.values and r.outcome not in BROKEN_OFF and not r.of_other_data]
    full = [record for record in counted if record.depth >= length]
    # A rung at full length itself agrees with it by definition.
    last = max((rungs.index(record, length - 1) for record in counted), default=0)
    found = [_agreement(index, counted, full, rungs, mode, length) for index in range(1, last + 1)]
    if not found:
        return None
    few_audited = sum(record.audited for record in full) < MIN_TRIALS
    selecting = config.scheduler.name != "none" or config.plateau is not None
    survivors_only = selecting and few_audited and len(full) < len(counted)
    return FidelityAudit(
        axis=rungs.axis,
        full_length=length,
        asked=config.scheduler.audit,
        survivors_only=survivors_only,
        rungs=found,
        grace_period=_for_scheduler(config.scheduler.name, _on_grace_period(found, survivors_only)),
        virtual_epoch=_on_virtual_epoch(found, rungs, unit.count, unit.unit),
    )


def _agreement(
    index: int,
    counted: Sequence[TrialRecord],
    full: Sequence[TrialRecord],
    rungs: Rungs,
    mode: Mode,
    length: int,
) -> RungAgreement:
    early = {r.number: v for r in counted if (v := rungs.value_at(r, index, mode)) is not None}
    late = {r.number: as_loss(r.standing(mode) or 0.0, mode) for r in full}
    both = [r for r in full if rungs.index(r, length - 1) >= index]
    audited = [record for record in both if record.audited]
    # As at a rung: the lower number first among equals.
    order = sorted(early, key=lambda number: (as_loss(early[number], mode), number))
    promoted = set(order[: max(1, len(order) // rungs.reduction_factor)])
    stopped = [late[record.number] for record in audited if record.number not in promoted]
    others = [
        late[r.number] for r in full if not (r.audited and r.number in early and r.number not in promoted)
    ]

    def correlation(of: Sequence[TrialRecord]) -> float | None:
        return spearman([as_loss(early[r.number], mode) for r in of], [late[r.number] for r in of])

    return RungAgreement(
        rung=rungs.grace_period * rungs.reduction_factor ** (index - 1),
        trials=len(both),
        correlation=correlation(both),
        audited=len(audited),
        audited_correlation=correlation(audited),
        stopped=len(stopped),
        lost=max(0.0, min(others) - min(stopped)) if stopped and others else None,
    )


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Correlation of the ranks, shared by equal values; None of fewer than MIN_TRIALS, or of equal values."""
    if len(first) < MIN_TRIALS:
        return None
    one, other = _ranks(first), _ranks(second)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return round(float(np.corrcoef(one, other)[0, 1]), 4)


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 1, the mean of theirs for equal values: float64 [N]."""
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: np.ndarray = (ends - (counts - 1) / 2)[inverse]
    return means


def _on_grace_period(rungs: Sequence[RungAgreement], survivors_only: bool) -> str:
    known = [rung for rung in rungs if rung.believable is not None]
    if not known:
        most = max(rung.trials for rung in rungs)
        reason = f"{most} of full length; {MIN_TRIALS} with values that differ are needed"
        way_out = f"scheduler.audit: {MIN_TRIALS} lets as many through"
        return f"no advice, as there are too few trials ({reason}): {way_out}"
    first = known[0]
    caveat = (
        "; among survivors alone ranks agree less than among all, so set scheduler.audit to be sure"
        if survivors_only and (first.believable or 0.0) < BELIEVED
        else ""
    )
    better = next((rung for rung in known if (rung.believable or 0.0) >= BELIEVED), None)
    if better is first:
        return f"{first.rung} can stay, as ranks there agree with those at full length ({_told(first)})"
    if better is not None:
        reason = f"ranks at {first.rung} say little of those at full length ({_told(first)})"
        others = f"those at {better.rung} do ({_told(better)})"
        return f"{better.rung} is better than {first.rung}, as {reason}, {others}{caveat}"
    reason = f"ranks at no rung say much of those at full length (at {known[-1].rung}, {_told(known[-1])})"
    return f"more than {known[-1].rung}, or scheduler none, as {reason}{caveat}"


def _for_scheduler(name: str, advice: str) -> str:
    """The advice where nothing stops at a rung is for a scheduler that would."""
    if name != "none":
        return advice
    return f"nothing stops at a rung here; of asha, {advice.replace('can stay', 'would do', 1)}"


def _told(rung: RungAgreement) -> str:
    if rung.audited_correlation is not None:
        return f"{rung.audited_correlation:.2f} of {rung.audited} audited trials"
    return f"{rung.correlation:.2f} of {rung.trials} trials"


def _on_virtual_epoch(rungs: Sequence[RungAgreement], counted: Rungs, count: int, unit: str) -> str:
    known = [rung for rung in rungs if rung.believable is not None]
    if counted.axis != "virtual_epochs":
        return f"no advice, as rungs are counted in {counted.axis}"
    if not known:
        return "no advice, as there are too few trials of full length"
    first = known[0]
    better = next((rung for rung in known if (rung.believable or 0.0) >= BELIEVED), None)
    if first.rung == 1 and (first.believable or 0.0) >= SURE:
        reason = f"ranks after the first agree with those at full length already ({_told(first)})"
        return f"less than {count} {unit} would tell trials apart earlier, as {reason}"
    if better is not None and better is not first and better.rung > 1:
        reason = f"values before virtual epoch {better.rung} say little, and each costs a validation"
        return f"{count * better.rung} {unit} in the place of {count} would do, as {reason}"
    return f"{count} {unit} can stay, as nothing measured here speaks against them"
