"""The study on disk: each trial, each virtual epoch's objective, each end. The only truth about a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.config.document import yaml_text
from search.config.schema import Mode
from search.space.space import Space
from search.study.data import DATA, with_data
from search.study.frozen import (
    CARRIED,
    JOBS,
    OTHERS,
    SPACE_PREFIX,
    TAKEN_OVER,
    WINDOW,
    job_attribute,
    records_of,
    space_texts,
)
from search.study.in_memory import PendingTrial, frozen_trial
from search.study.indexes import Indexes
from search.study.journal import next_session, reraise_as_damaged, storage_at
from search.study.patches import share_distributions
from search.study.times import Times, wall_clock
from search.study.trial import NO_VERDICT, JobTimes, Outcome, Point, TakenOver, TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.fence import ALONE, Job
from trainables.process.failure import Failure

JOURNAL = "study.journal"

ELAPSED = "elapsed_seconds"
KEPT = "keep_trials"
"""Attribute of the study: the fewest best trials whose checkpoints any session has kept; 1 if unknown."""

_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
_STATES = {
    Outcome.COMPLETED: TrialState.COMPLETE,
    Outcome.STOPPED: TrialState.PRUNED,
    Outcome.DIVERGED: TrialState.PRUNED,
    Outcome.FAILED: TrialState.FAIL,
    Outcome.OUT_OF_MEMORY: TrialState.PRUNED,
    Outcome.OVER_LIMIT: TrialState.PRUNED,
}


class SearchStudy:
    """An Optuna study in a journal file, with a mirror of every trial in memory.

    Args:
        path: the journal; created if missing. None keeps nothing on disk, as for a simulated search.
        name: of the study.
        mode: whether the objective is maximized or minimized.
        space: what new trials are drawn from; earlier trials keep the one that they were drawn from.
        sampler: makes the sampler of this study.
        history: trials of an older study, from which samplers learn.
        data: hash of the data that trials are trained on from now on.
        window: of the trials of a new study, see `TrialRecord`; one that is there keeps its own.
        claim: write that this session has begun before the trials are read: nobody else's entry comes after.

    `search.study.reading` reads a study that another process may be writing.
    """

    noun = "trial"
    """What a person calls one of its records."""

    def __init__(
        self,
        path: Path | None,
        *,
        name: str,
        mode: Mode,
        space: Space,
        sampler: Callable[[SearchStudy], BaseSampler] | None = None,
        history: Sequence[TrialRecord] = (),
        data: str = "",
        window: int = 1,
        claim: bool = False,
    ) -> None:
        self._storage, self._journal = storage_at(path)
        self.mode, self.space, self.history = mode, space, list(history)
        optuna.logging.disable_default_handler()
        optuna.logging.enable_propagation()
        # A renamed run continues: its folder holds one study, whatever its name.
        known = [study.study_name for study in self._storage.get_all_studies()]
        if not known:
            self._storage.create_new_study([_DIRECTIONS[mode]], name)
        self.study = optuna.load_study(storage=self._storage, study_name=known[0] if known else name)
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self.session, self._num_jobs = next_session(self.study.user_attrs), 0
        if self._journal is not None:
            self._journal.begin_session(self._study_id, self.session)
            if claim:
                self._journal.write_session()
        self._data_number = max(0, len(with_data(self._storage, self._study_id, data)) - 1)
        # A process that was killed may have created the study alone.
        is_new = not self._storage.get_n_trials(self._study_id)
        if is_new and window > 1 and WINDOW not in self.study.user_attrs:
            self.study.set_user_attr(WINDOW, window)
        with reraise_as_damaged(path or Path(JOURNAL)):
            self.records: list[TrialRecord] = list(records_of(self._storage))
        self.window: int = self.study.user_attrs.get(WINDOW, 1)
        """Of its trials."""
        self.indexes = Indexes()
        self._lengths: dict[VirtualEpochs, VirtualEpochs] = {}
        self.num_steps = sum(record.steps for record in self.records)
        """Optimizer steps of all trials."""
        self.last_sequence = max((record.sequence for record in self.records), default=0)
        """Number of the last report or end of all."""
        self.first_sequence = self.last_sequence
        """That number when this session began."""
        self.space_number = self._number_of_space()
        self._sampler = None if sampler is None else sampler(self)

    def begin_job(self, newest: Job = ALONE) -> Job:
        """Number of the next job of a trial, greater than all before it.

        Args:
            newest: job of the trial that its folder knows. A study that was restored to an earlier state may
                not know that session, and goes on as the one after it.

        Raises:
            OvertakenError: another search goes on with the study.
        """
        if self._journal is not None:
            self._journal.write_session()
        if newest > (self.session, self._num_jobs):
            self.session, self._num_jobs = newest[0] + 1, 0
            if self._journal is not None:
                self._journal.begin_session(self._study_id, self.session)
                self._journal.write_session()
        self._num_jobs += 1
        return self.session, self._num_jobs

    def keep_at_most(self, keep_trials: int) -> None:
        """Record before checkpoints are removed that those of so many best trials stay."""
        known = self.study.user_attrs.get(KEPT, 1 if self.records else keep_trials)
        if self.study.user_attrs.get(KEPT) != min(known, keep_trials):
            self.study.set_user_attr(KEPT, min(known, keep_trials))

    @property
    def elapsed_seconds(self) -> float:
        """Wall time of all sessions so far."""
        return float(self.study.user_attrs.get(ELAPSED, 0.0))

    def save_elapsed(self, seconds: float) -> None:
        self.study.set_user_attr(ELAPSED, round(seconds, 1))

    def has_ended_on(self, plateau: Mapping[str, Any]) -> bool:
        return bool(self.study.user_attrs.get("plateau") == dict(plateau))

    def end_on(self, plateau: Mapping[str, Any]) -> None:
        """Record that the search has ended on this plateau; trials that report meanwhile must not undo it."""
        if not self.has_ended_on(plateau):
            self.study.set_user_attr("plateau", dict(plateau))

    def ask(self, point: Point | None = None, *, audited: bool = False, bracket: int = 0) -> TrialRecord:
        """Begin a new trial; parameters that the point to evaluate lacks are sampled."""
        number = len(self.records)
        # Samplers count the trials of the history first.
        pending = PendingTrial(len(self.history) + number, point or {}, self._sampler, self.study)
        params = self.space.suggest(pending).params
        known = None if point is None else dict(point)
        now, data = wall_clock(), self._data_number
        attrs: dict[str, Any] = {"trial": number, "space": self.space_number, "known": known}
        attrs |= {DATA: data or None}
        attrs |= {"audited": audited or None, "bracket": bracket or None, f"{JOBS}1": [now, now, 0]}
        trial_id = self._create(pending, {}, {key: attr for key, attr in attrs.items() if attr is not None})
        record = TrialRecord(number, trial_id, self.space, params, self.space_number, known, drawn=params)
        record.data_number, record.audited, record.window = data, audited, self.window
        record.bracket, record.jobs = bracket, [JobTimes(now, now, 0)]
        self.records.append(record)
        self.indexes.update(record)
        return record

    def measure(self, record: TrialRecord, measured: Mapping[str, float]) -> None:
        """Record what was measured of the trial's model before its first step."""
        self._set(record, "measured", dict(measured))
        record.measured = dict(measured)

    def report(
        self,
        record: TrialRecord,
        value: float,
        lengths: VirtualEpochs,
        seconds: float,
        times: Times | None = None,
        others: Mapping[str, float] | None = None,
    ) -> None:
        """Record the objective of the trial's next virtual epoch.

        Args:
            record, value, lengths: the trial, its objective, and what its virtual epochs are.
            seconds: that it has trained by its own report.
            times: of the trial with this virtual epoch, if they are known.
            others: the other objectives, if there are any.
        """
        assert record.outcome is None
        seconds = round(seconds, 3)
        number, sequence = record.depth + 1, self.last_sequence + 1
        steps, samples = lengths.end_step(number), lengths.samples_at(number)
        record.heard_of(at := wall_clock())
        spent: dict[str, Any] = {"steps": steps, "samples": samples, "seconds": seconds, "sequence": sequence}
        spent["at"] = at
        if times is not None:
            record.times = times
            spent["times"] = list(astuple(times))
        with self._in_one_piece():
            if record.lengths is None:
                self._set(record, "virtual_epochs", lengths.as_dict())
            self._set(record, "spent", spent)
            if others:
                self._set(record, f"{OTHERS}{number}", dict(others))
            self._storage.set_trial_intermediate_value(record.trial_id, number, value)
        lengths = record.lengths or self._lengths.setdefault(lengths, lengths)
        self.num_steps += steps - record.steps
        record.lengths, record.steps, record.samples, record.seconds = lengths, steps, samples, seconds
        # The screen's thread reads meanwhile: what belongs to a value is there before it, and the value
        # before the number that tells of it.
        record.others += [dict(others)] if others else []
        record.values.append(value)
        record.sequence = record.last_report = self.last_sequence = sequence
        self.indexes.update(record)

    def begin_on_new_data(self, record: TrialRecord) -> None:
        """A trial without a report begins on the data of now; one that has ended is promoted then."""
        record.data_number, record.of_other_data = self._data_number, False
        if record.outcome is None:
            self._set(record, DATA, self._data_number)

    def promote(self, record: TrialRecord, taken_over: TakenOver | None = None) -> None:
        """Record that a paused trial continues; one that Optuna holds as ended becomes a new Optuna trial.

        Args:
            record: the trial.
            taken_over: what it continues from, if not from its own checkpoint.
        """
        if record.outcome is not None:
            assert taken_over is None
            self._reopen(record)
        else:
            lineage = [*record.taken_over, *([taken_over] if taken_over else [])]
            with self._in_one_piece():
                if taken_over is not None:
                    self._set(record, TAKEN_OVER, [item._asdict() for item in lineage])
                    record.taken_over, record.params = lineage, dict(taken_over.params)
                self._set(record, "promoted", record.depth)
                self.go_on(record)
        record.promoted_at = record.depth
        self.indexes.update(record)

    def go_on(self, record: TrialRecord) -> None:
        """Record that the trial continues in another job."""
        record.begin_job()
        self._set(record, *job_attribute(record))

    def hold(self, record: TrialRecord) -> None:
        """Record that the trial pauses here for the budget, although its scheduler had it go on."""
        self._set(record, "held", record.depth)
        record.held_at = record.depth
        self.indexes.update(record)

    def add_failure(self, record: TrialRecord, failure: Failure) -> None:
        """Record that an attempt failed."""
        failures = [*record.failures, replace(failure, depth=record.depth)]
        self._set(record, "failures", [asdict(item) for item in failures])
        record.failures = failures

    def finish(
        self, record: TrialRecord, outcome: Outcome, reason: str, *, stopped_by_budget: bool = False
    ) -> None:
        """End a trial exactly once: COMPLETE with what it is ranked by, PRUNED, or FAIL in Optuna's terms."""
        assert record.outcome is None
        sequence = self.last_sequence + 1
        rated = outcome in (Outcome.COMPLETED, Outcome.STOPPED) and record.values
        values = [replace(record, outcome=outcome).standing(self.mode)] if rated else None
        heard_of = record.jobs[-1].heard_of if record.jobs else None
        end = {"sequence": sequence, "stopped_by_budget": stopped_by_budget, "at": heard_of}
        with self._in_one_piece():
            self._set(record, "outcome", outcome.value)
            self._set(record, "reason", reason)
            self._set(record, "end", end)
            self._storage.set_trial_state_values(record.trial_id, _STATES[outcome], values)
        record.outcome, record.reason, record.stopped_by_budget = outcome, reason, stopped_by_budget
        record.sequence = self.last_sequence = sequence
        self.indexes.update(record)

    def frozen(self, record: TrialRecord) -> FrozenTrial:
        """Optuna's view of the trial."""
        return self._storage.get_trial(record.trial_id)

    def _reopen(self, record: TrialRecord) -> None:
        """Let an ended trial continue: Optuna's are final, so a new one takes over what it holds."""
        old = self.frozen(record)
        # The attempts that were lost do not count against one that is tried again.
        record.failures = [] if record.outcome in NO_VERDICT else record.failures
        attrs = {key: old.user_attrs[key] for key in (*CARRIED, TAKEN_OVER) if key in old.user_attrs}
        attrs |= {key: attr for key, attr in old.user_attrs.items() if key.startswith((OTHERS, JOBS))}
        if not record.failures:
            attrs.pop("failures", None)
        record.begin_job()
        attrs |= {"promoted": record.depth, "continues": old.number}
        attrs |= [job_attribute(record)]
        attrs |= {DATA: record.data_number} if record.data_number else {}
        record.trial_id = self._create(old, old.intermediate_values, attrs)
        record.outcome, record.reason, record.stopped_by_budget = None, "", False

    def _create(
        self, drawn: PendingTrial | FrozenTrial, values: Mapping[int, float], attrs: Mapping[str, Any]
    ) -> int:
        """A running Optuna trial, all of it in one entry of the journal; returns its id."""
        template = frozen_trial(
            -1,
            dict(drawn.params),
            dict(drawn.distributions),
            user_attrs=dict(attrs),
            intermediate_values=dict(values),
        )
        trial_id = self._storage.create_new_trial(self._study_id, template)
        share_distributions(self._storage.get_trial(trial_id))
        return trial_id

    def _in_one_piece(self) -> AbstractContextManager[None]:
        """Inside, writes are kept together."""
        return nullcontext() if self._journal is None else self._journal.transaction()

    def _number_of_space(self) -> int:
        """Number of `self.space` in the study, which is written if new.

        Spaces are compared as the YAML that is stored: one written differently counts as another.
        """
        texts, text = space_texts(self.study.user_attrs), yaml_text(self.space.source)
        if text not in texts:
            self.study.set_user_attr(f"{SPACE_PREFIX}{len(texts)}", text)
        return [*texts, text].index(text)

    def _set(self, record: TrialRecord, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(record.trial_id, key, value)
