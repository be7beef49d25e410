"""Trials as Optuna's tools take them: of the whole search, and as they stood at one rung."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from search.listing.reading import StageReading
from search.listing.rows import state_of_trial
from search.study.front import objectives_at
from search.study.in_memory import PendingTrial, frozen_trial
from search.study.trial import BROKEN_OFF, NO_VERDICT, Outcome, TrialRecord

_RUNNING = {"running": TrialState.RUNNING, "unfinished": TrialState.WAITING}
"""Of trials that have not ended and are not paused."""
_CONSTRAINTS = "constraints"
"""By how much a trial is over each limit. Optuna 5 writes one attribute each, which its dashboard 0.21 does
not show; this list of before is read by both."""


@dataclass(frozen=True)
class OptunaTrials:
    """The trials of one search for Optuna's tools, each once, in the order of their numbers.

    Args:
        stage: the search.
        is_running: whether it runs now.
    """

    stage: StageReading
    is_running: bool

    def of_search(self) -> Iterator[FrozenTrial]:
        """Every trial: COMPLETE with what it is ranked by, RUNNING, or PRUNED where it paused or was ended.

        One that failed or ran out of memory is FAIL. One that diverged, is over a limit or is of other data
        is PRUNED without a value, so that no tool takes it for the best.
        """
        for record in self.stage.records:
            state = self._state(record)
            has_value = record.values and record.outcome not in BROKEN_OFF and not record.of_other_data
            has_value = has_value and state in (TrialState.COMPLETE, TrialState.PRUNED)
            values = self._values(record) if has_value else None
            if values is None and state is TrialState.COMPLETE:  # which has a value for Optuna
                state = TrialState.PRUNED
            yield self._trial(record, state, values)

    def at_rung(self, index: int) -> Iterator[FrozenTrial]:
        """Those that have reached a rung, COMPLETE with what they are compared by there.

        One that diverged later is last there for the search, and PRUNED without a value here; one that
        failed or ran out of memory later takes no part, and is FAIL. Those of other data are left out.
        """
        rungs = self.stage.scheduler.rungs
        for record in self.stage.records:
            depth = rungs.depth_at(record, index)
            if depth is not None and not record.of_other_data:
                yield self._compared(record, depth)

    def at_full_length(self) -> Iterator[FrozenTrial]:
        """Those of full length, COMPLETE with what they are ranked by."""
        for record in self.stage.records:
            if record.depth >= self._length and not record.of_other_data:
                yield self._compared(record, None)

    def _compared(self, record: TrialRecord, at: int | None) -> FrozenTrial:
        values = None if record.outcome in BROKEN_OFF else self._values(record, at)
        if values is not None:
            return self._trial(record, TrialState.COMPLETE, values, at)
        state = TrialState.FAIL if record.outcome in NO_VERDICT else TrialState.PRUNED
        return self._trial(record, state, None, at)

    @property
    def _length(self) -> int:
        return self.stage.config.budget.max_virtual_epochs

    def _values(self, record: TrialRecord, at: int | None = None) -> list[float] | None:
        """What a trial is ranked by, or compared by at a virtual epoch; with several objectives, all.

        None where an older version did not measure one of them: JSON has no infinity, nor has a plot.
        """
        mode, several = self.stage.config.objective.mode, self.stage.config.objectives
        if several:
            found = list(objectives_at(record, several, at).values())
            return found if all(map(math.isfinite, found)) else None
        value = record.standing(mode) if at is None else record.best(mode, at)
        assert value is not None
        return [value]

    def _state(self, record: TrialRecord) -> TrialState:
        if record.outcome in NO_VERDICT:
            return TrialState.FAIL
        if record.of_other_data or record.outcome not in (None, Outcome.COMPLETED):
            return TrialState.PRUNED
        if record.outcome is Outcome.COMPLETED:
            return TrialState.COMPLETE
        state = state_of_trial(self.stage, record, is_running=self.is_running)
        return _RUNNING.get(state, TrialState.PRUNED)

    def _trial(
        self, record: TrialRecord, state: TrialState, values: list[float] | None, at: int | None = None
    ) -> FrozenTrial:
        """A trial, or that of its first `at` virtual epochs."""
        depth = record.depth if at is None else at
        newest = self.stage.study.storage.get_trial(record.trial_id)
        best = record.best_virtual_epoch(self.stage.config.objective.mode, depth) if depth else 0
        params = dict(record.params_at(best)) if best else dict(newest.params)
        begun, limits = self._begun[record.number], self.stage.config.limits
        return frozen_trial(
            record.number,
            params,
            _distributions(record, newest, params),
            state=state,
            value=values[0] if values is not None and len(values) == 1 else None,
            values=values if values is not None and len(values) > 1 else None,
            datetime_start=begun,
            datetime_complete=_ended(record, newest, begun, at) if state.is_finished() else None,
            intermediate_values=dict(enumerate(record.values[:depth], 1)),
            user_attrs=self._attributes(record, best),
            system_attrs={_CONSTRAINTS: list(limits.excess(record.measured).values())} if limits else {},
        )

    @cached_property
    def _begun(self) -> Mapping[int, datetime]:
        """When each trial began: one that went on after its end is several of Optuna's trials."""
        storage, found = self.stage.study.storage, dict[int, datetime]()
        for study in storage.get_all_studies()[:1]:
            study_id = storage.get_study_id_from_name(study.study_name)
            for frozen in storage.get_all_trials(study_id, deepcopy=False):
                number, begun = frozen.user_attrs.get("trial"), frozen.datetime_start
                if number is not None and begun is not None:
                    found[number] = min(begun, found.get(number, begun))
        return found

    def _attributes(self, record: TrialRecord, best: int) -> dict[str, Any]:
        """What Optuna's model has no place for."""
        state = state_of_trial(self.stage, record, is_running=self.is_running)
        found: dict[str, Any] = {"trial": record.number, "state": state, "virtual_epochs": record.depth}
        found |= {"reason": record.reason} if record.reason else {}
        found |= {"best_virtual_epoch": best, "steps": record.steps} if best else {}
        found |= {"seconds": record.seconds} if best else {}
        found |= {"of_other_data": True} if record.of_other_data else {}
        found |= {"let_through": True} if record.audited else {}
        found |= {"failed_attempts": len(record.failures)} if record.failures else {}
        return {**found, **record.measured}


def _distributions(
    record: TrialRecord, newest: FrozenTrial, params: Mapping[str, Any]
) -> dict[str, BaseDistribution]:
    """Of each parameter; a donor may have taken another option, whose parameters were never drawn here."""
    known = newest.distributions
    if not params.keys() <= known.keys():
        drawn = PendingTrial(record.number, params)
        record.space.suggest(drawn)
        known = drawn.distributions
    return {name: known[name] for name in params}


def _ended(record: TrialRecord, newest: FrozenTrial, begun: datetime, at: int | None) -> datetime:
    """When a trial ended, or came to a virtual epoch or paused.

    Of a virtual epoch before the last nothing is known but the seconds of training up to there.
    """
    if at is None and newest.datetime_complete is not None:
        return newest.datetime_complete
    untils = [*(job.after for job in record.jobs[1:]), record.depth]
    for job, until in zip(record.jobs, untils, strict=False):
        if until == (record.depth if at is None else at) > job.after:
            return datetime.fromtimestamp(job.heard_of)
    share = 1.0 if at is None else at / max(1, record.depth)
    return begun + timedelta(seconds=record.seconds * share)
