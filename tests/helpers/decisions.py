"""Whether a search decided as its rule says, by its journal: each decision from the reports before it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import optuna
from budgeted import Budgeted
from optuna.storages.journal._storage import JournalOperation
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from records import NewIndexes

from search.budget.reserve import is_held
from search.config.config import Config
from search.schedulers.base import Decision
from search.schedulers.build import build_scheduler
from search.schedulers.plateau import is_on_plateau
from search.space.parse import parse_space
from search.study.frozen import WINDOW
from search.study.study import JOURNAL, SearchStudy
from search.study.trial import NO_VERDICT, Outcome, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs


def assert_decisions(folder: Path, config: Config) -> Counter[str]:
    """Go through a run's journal and hold every pause, promotion and stop against the rule at that moment.

    However often the search was killed, each must be what the rule says of the reports before it: a trial is
    stopped when and only when the rule says so; one that is to pause goes on only if it is promoted; what is
    promoted is among the best 1/reduction_factor of its rung, or the lone winner at the end; no trial begins,
    and the search does not end, while another is to be promoted. With a limit of compute, see `Budgeted`.

    Args:
        folder: of the run, with its study.journal.
        config: of the run, as last given. With hyperband its full length must always have been the same, as
            the brackets follow from that, and so must limits of compute.

    Returns:
        How many decisions of each kind there were.
    """
    replay = _Replay(config)
    for line in (folder / JOURNAL).read_text().splitlines():
        replay.apply(json.loads(line))
    replay.assert_nothing_undecided()
    return replay.counts


class _Replay:
    """The study as the journal makes it, entry by entry; to a rule it looks like a SearchStudy."""

    def __init__(self, config: Config) -> None:
        self.mode = config.objective.mode
        maximize = self.mode == "max"
        self.study = SimpleNamespace(
            direction=StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE,
            get_trials=self._get_trials,
        )
        self.records: list[TrialRecord] = []
        self.indexes = NewIndexes()
        self.counts: Counter[str] = Counter()
        self._rule: Any = build_scheduler(config)
        self._length = config.budget.max_virtual_epochs
        self._plateau = config.budget.plateau
        self._last_sequence = 0
        self._window = 1
        self._by_id: list[TrialRecord] = []
        self._completed: dict[int, list[float]] = {}
        self._attrs: dict[int, dict[str, Any]] = {}
        self._said: dict[int, Decision] = {}
        """What the rule said after the last report of a trial."""
        self._last_reported = -1
        self._alone = False
        """The best trial goes on alone, as no other is to come."""
        self._budgeted = Budgeted(cast(SearchStudy, self), self._rule, config)

    def apply(self, entry: Mapping[str, Any]) -> None:
        operation = entry["op_code"]
        if operation == JournalOperation.CREATE_TRIAL:
            self._create(entry["user_attrs"], entry["intermediate_values"])
        elif operation == JournalOperation.SET_TRIAL_USER_ATTR:
            self._set(self._by_id[entry["trial_id"]], entry["user_attr"])
        elif operation == JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE:
            self._report(self._by_id[entry["trial_id"]], entry["step"], entry["intermediate_value"])
        elif operation == JournalOperation.SET_TRIAL_STATE_VALUES:
            self._end(self._by_id[entry["trial_id"]])
        elif operation == JournalOperation.SET_STUDY_USER_ATTR:
            self._window = entry["user_attr"].get(WINDOW, self._window)

    def assert_nothing_undecided(self) -> None:
        for record in self.records:
            said = self._said.get(record.number)
            if record.outcome is None and said is Decision.STOP:
                assert record.number == self._last_reported, f"trial {record.number} was not stopped"

    # What a rule looks at.

    def _get_trials(self, *, deepcopy: bool, states: tuple[TrialState, ...]) -> list[FrozenTrial]:
        assert not deepcopy
        assert states == (TrialState.COMPLETE,)
        return [_frozen(number, values, TrialState.COMPLETE) for number, values in self._completed.items()]

    def frozen(self, record: TrialRecord) -> FrozenTrial:
        return _frozen(record.number, record.values, TrialState.RUNNING)

    # What the journal tells.

    def _create(self, attrs: Mapping[str, Any], values: Mapping[str, float]) -> None:
        number = attrs["trial"]
        if "continues" in attrs:
            self._reopen(self.records[number], attrs, list(values.values()))
            return
        assert number == len(self.records)
        passed_over = self._rule.next_promotion(self, closing=False)
        assert passed_over is None, f"trial {number} began before trial {passed_over.number} was promoted"
        self._assert_no_plateau(f"trial {number} began")
        self._budgeted.assert_may_begin(number)
        # All have ended where a search is gone on with, to have more trials.
        self._alone = self._alone and not all(r.outcome for r in self.records)
        assert not self._alone, f"a trial went on alone, and trial {number} was yet to begin"
        record = TrialRecord(number, len(self._by_id), parse_space({}), {}, running=True, window=self._window)
        record.audited, record.bracket = attrs.get("audited", False), attrs.get("bracket", 0)
        assert record.bracket == self._rule.next_bracket(self), f"trial {number} began in another bracket"
        self.records.append(record)
        self._by_id.append(record)
        self._attrs[number] = {}
        self.counts["begin"] += 1

    def _reopen(self, record: TrialRecord, attrs: Mapping[str, Any], values: list[float]) -> None:
        # Failed ones are tried again where that is asked for.
        assert record.stopped_by_budget or record.outcome in (Outcome.COMPLETED, *NO_VERDICT), (
            f"trial {record.number} had its end"
        )
        self._alone = False
        assert values == record.values
        assert attrs["promoted"] == record.depth
        if self._rule.pauses and self._rule.rungs.reached(record):
            record.resumable = True
            self._assert_promotable(record)
        elif record.outcome is Outcome.COMPLETED:
            assert self._rule.decision(self, record) is not Decision.STOP
        record.outcome, record.stopped_by_budget, record.resumable, record.running = None, False, False, True
        record.trial_id, record.promoted_at = len(self._by_id), record.depth
        self._by_id.append(record)
        self._said.pop(record.number, None)
        self.counts["go on after an end"] += 1

    def _set(self, record: TrialRecord, attr: Mapping[str, Any]) -> None:
        ((key, value),) = attr.items()
        self._attrs[record.number][key] = value
        if key == "virtual_epochs":
            record.lengths = VirtualEpochs(**value)
        elif key == "spent":
            record.steps, record.samples, record.seconds = value["steps"], value["samples"], value["seconds"]
        elif key == "held":
            assert value == record.depth
            assert self._said[record.number] is Decision.GO_ON, f"trial {record.number} was held and ended"
            self._budgeted.assert_held(record)
            record.held_at, record.running = record.depth, False
            self.counts["hold"] += 1
        elif key == "promoted":
            assert value == record.depth
            held = is_held(record)
            assert held or self._said[record.number] is Decision.PAUSE, (
                f"trial {record.number} had not paused"
            )
            if not held and not self._budgeted.leads(record):
                self._assert_promotable(record)
            else:
                self.counts["go on for the budget"] += 1
            record.promoted_at, record.running = record.depth, True

    def _report(self, record: TrialRecord, step: int, value: float) -> None:
        assert record.outcome is None
        assert step == record.depth + 1
        said = self._said.get(record.number)
        assert said is not Decision.STOP, f"trial {record.number} went on and was to be stopped"
        assert record.running, f"trial {record.number} went on and was to pause"
        record.values.append(value)
        self._count(record)
        record.last_report = record.sequence
        self._last_reported = record.number
        self._said[record.number] = said = self._rule.decision(self, record)
        self._budgeted.assert_within_limits(record)
        record.running = said is not Decision.PAUSE
        self.counts[said.value] += 1

    def _end(self, record: TrialRecord) -> None:
        attrs, said = self._attrs[record.number], self._said.get(record.number)
        outcome, stopped_by_budget = Outcome(attrs["outcome"]), attrs["end"]["stopped_by_budget"]
        where = f"trial {record.number} at virtual epoch {record.depth}"
        if outcome is Outcome.STOPPED:
            assert stopped_by_budget == (said is not Decision.STOP), (
                f"{where} was stopped and the rule said {said}"
            )
        elif outcome is Outcome.COMPLETED:
            assert record.depth <= self._length, where
            self._completed[record.number] = list(record.values)
        else:
            assert said is not Decision.STOP, where
            assert record.running, where
        if stopped_by_budget and self._plateau is None:
            self._budgeted.assert_nothing_fits(where)
        if attrs["reason"].endswith("not promoted"):
            self._assert_nobody_passed_over()
        record.outcome, record.stopped_by_budget, record.running = outcome, stopped_by_budget, False
        self._count(record)
        self.counts[f"end as {outcome}"] += 1

    def _count(self, record: TrialRecord) -> None:
        self._last_sequence += 1
        record.sequence = self._last_sequence

    def _assert_no_plateau(self, what: str) -> None:
        plateau, study = self._plateau, cast(SearchStudy, self)
        if plateau is not None:
            ended = is_on_plateau(study, self._rule, trials=plateau.trials, min_delta=plateau.min_delta)
            assert not ended, f"{what}, and the search was on a plateau"

    def _assert_promotable(self, record: TrialRecord) -> None:
        chosen = self._rule.next_promotion(self, closing=True)
        assert chosen is record, f"trial {record.number} was promoted, and the rule says {chosen}"
        if not self._is_among_the_best(record):
            assert not any(other.running for other in self.records)
            self._alone = True
            self.counts["promote alone"] += 1
        self.counts["promote"] += 1

    def _is_among_the_best(self, record: TrialRecord) -> bool:
        """By Li et al., Algorithm 2, of the trials that have reached its rung."""
        rungs = self._rule.rungs
        index = rungs.index(record)
        sign = 1.0 if self.mode == "max" else -1.0
        values: dict[int, float] = {}
        for rival in self.records:
            value = rungs.value_at(rival, index, self.mode)
            counts = not rival.audited and rival.outcome not in (Outcome.FAILED, Outcome.OUT_OF_MEMORY)
            if value is not None and counts:
                diverged = rival.outcome is Outcome.DIVERGED
                values[rival.number] = float("-inf") if diverged else sign * value
        mine = values[record.number]
        before = sum(v > mine or (v == mine and n < record.number) for n, v in values.items())
        return bool(before < len(values) // rungs.reduction_factor)

    def _assert_nobody_passed_over(self) -> None:
        # Before a search was gone on with for longer trials, its full length is not known.
        if any(record.depth >= self._length for record in self.records):
            passed_over = self._rule.next_promotion(self, closing=True)
            assert passed_over is None, f"the search ended before trial {passed_over.number} was promoted"


def _frozen(number: int, values: list[float], state: TrialState) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=state,
        value=values[-1] if state is TrialState.COMPLETE else None,
        intermediate_values=dict(enumerate(values, start=1)),
        user_attrs={"trial": number},
    )
