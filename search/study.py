"""The study on disk: each trial, each virtual epoch's objective, each end. The only truth about a search."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import BaseJournalFileLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.errors import SearchError
from search.space import Resolved, Space
from trainables.virtual_epoch import VirtualEpochs

log = logging.getLogger(__name__)

JOURNAL = "study.journal"
_LENGTHS, _SPENT, _OUTCOME, _REASON, _FAILURES, _ELAPSED = (
    "virtual_epochs",
    "spent",
    "outcome",
    "reason",
    "failures",
    "elapsed_seconds",
)


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


_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}

BROKEN_OFF = (Outcome.DIVERGED, Outcome.FAILED, Outcome.OUT_OF_MEMORY)
"""Ends of trials that never count as good, whatever they had reached before."""

_TOLD_AS = {
    Outcome.COMPLETED: TrialState.COMPLETE,
    Outcome.STOPPED: TrialState.PRUNED,
    Outcome.DIVERGED: TrialState.PRUNED,
    Outcome.FAILED: TrialState.FAIL,
    Outcome.OUT_OF_MEMORY: TrialState.PRUNED,
}


@dataclass(eq=False)
class TrialRecord:
    """One trial as the study holds it; changed only by `SearchStudy`."""

    number: int
    trial_id: int
    resolved: Resolved
    values: list[float] = field(default_factory=list)
    """Objective of virtual epochs 1, 2, … that have been reported."""
    lengths: VirtualEpochs | None = None
    """How long the trial's virtual epochs are; known from its first report."""
    steps: int = 0
    samples: int = 0
    seconds: float = 0.0
    failures: int = 0
    outcome: Outcome | None = None
    reason: str = ""
    """Why it ended; before that, what its last attempt failed of."""
    running: bool = False
    """A worker is training it now; known in this process only."""

    @property
    def depth(self) -> int:
        """Virtual epochs reported."""
        return len(self.values)

    def best(self, mode: Literal["max", "min"], depth: int | None = None) -> float | None:
        """Best objective of the first `depth` virtual epochs (all without it); None before the first."""
        values = self.values[:depth]
        return (max(values) if mode == "max" else min(values)) if values else None

    def best_virtual_epoch(self, mode: Literal["max", "min"]) -> int:
        """The virtual epoch (from 1) of the best objective, the first of equals."""
        best = self.best(mode)
        assert best is not None
        return self.values.index(best) + 1


class SearchStudy:
    """An Optuna study in a journal file, with a mirror of every trial in memory.

    Args:
        path: the journal; made if it is not there.
        name: of the study.
        mode: whether the objective is to be maximized or minimized.
        space: turns recorded parameters back into a trial's options.
        sampler: made for this study, gives new trials their parameters.

    See `read_records` for looking at a study that another process may be writing.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        mode: Literal["max", "min"],
        space: Space,
        sampler: Callable[[SearchStudy], optuna.samplers.BaseSampler] | None = None,
    ) -> None:
        _drop_half_line(path)
        self._storage = _open_journal(path)
        self.mode = mode
        self.records: list[TrialRecord] = []
        self._space = space
        optuna.logging.disable_default_handler()
        optuna.logging.enable_propagation()
        # A run that was renamed goes on: its folder holds one study, whatever that is called.
        known = [study.study_name for study in self._storage.get_all_studies()]
        if not known:
            self._storage.create_new_study([_DIRECTIONS[mode]], name)
        self.study = optuna.load_study(
            storage=self._storage,
            study_name=known[0] if known else name,
            sampler=None if sampler is None else sampler(self),
        )
        for frozen in self.study.get_trials(deepcopy=False):
            if frozen.state != TrialState.WAITING:
                self.records.append(self._read(frozen))

    @property
    def elapsed_seconds(self) -> float:
        """Wall time of all sessions of this search so far."""
        return float(self.study.user_attrs.get(_ELAPSED, 0.0))

    def save_elapsed(self, seconds: float) -> None:
        self.study.set_user_attr(_ELAPSED, round(seconds, 1))

    def ask(self, known_point: Mapping[str, Any] | None = None) -> TrialRecord:
        """Begin a new trial; with `known_point` these parameters are taken and only the rest is sampled."""
        if known_point is not None and not self.study.get_trials(
            deepcopy=False, states=(TrialState.WAITING,)
        ):
            self.study.enqueue_trial(dict(known_point))
        trial = self.study.ask()
        record = TrialRecord(trial.number, trial._trial_id, self._space.suggest(trial))
        self.records.append(record)
        return record

    def report(self, record: TrialRecord, value: float, lengths: VirtualEpochs, seconds: float) -> None:
        """Record the objective of the trial's next virtual epoch."""
        number = record.depth + 1
        if record.lengths is None:
            self._set(record, _LENGTHS, lengths.as_dict())
            record.lengths = lengths
        record.steps, record.samples, record.seconds = (
            lengths.end_step(number),
            lengths.samples_at(number),
            seconds,
        )
        self._set(
            record, _SPENT, {"steps": record.steps, "samples": record.samples, "seconds": round(seconds, 3)}
        )
        self._storage.set_trial_intermediate_value(record.trial_id, number, value)
        record.values.append(value)

    def add_failure(self, record: TrialRecord, cause: str) -> None:
        """Record that an attempt was lost, and of what."""
        record.failures, record.reason = record.failures + 1, cause
        self._set(record, _REASON, cause)
        self._set(record, _FAILURES, record.failures)

    def finish(self, record: TrialRecord, outcome: Outcome, reason: str) -> None:
        """End a trial: COMPLETE with its best value, PRUNED, or FAIL; told to Optuna exactly once."""
        record.outcome, record.reason = outcome, reason
        self._set(record, _OUTCOME, outcome.value)
        self._set(record, _REASON, reason)
        values = [record.best(self.mode)] if outcome is Outcome.COMPLETED else None
        if outcome is Outcome.STOPPED and record.values:
            values = [record.best(self.mode)]
        self._storage.set_trial_state_values(record.trial_id, _TOLD_AS[outcome], values)

    def frozen(self, record: TrialRecord) -> FrozenTrial:
        """Optuna's view of the trial."""
        return self._storage.get_trial(record.trial_id)

    def _set(self, record: TrialRecord, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(record.trial_id, key, value)

    def _read(self, frozen: FrozenTrial) -> TrialRecord:
        try:
            return _record(frozen, self._space.resolve(frozen.params))
        except SearchError:
            if frozen.state.is_finished():
                raise
        # Killed while its parameters were being drawn: those that are there are kept.
        return _record(frozen, self._space.suggest(optuna.trial.Trial(self.study, frozen._trial_id)))


def read_records(path: Path, space: Space) -> list[TrialRecord]:
    """The trials of a study, without writing: a search may be using it at this moment.

    A trial whose parameters are still being drawn is left out.

    Raises:
        SearchError: there is no journal, or it is damaged.
    """
    if not path.is_file():
        raise SearchError(f"there is no {path}")
    storage = _open_journal(path)
    records = []
    for frozen in (
        t for s in storage.get_all_studies() for t in storage.get_all_trials(s._study_id, deepcopy=False)
    ):
        if frozen.state == TrialState.WAITING:
            continue
        try:
            records.append(_record(frozen, space.resolve(frozen.params)))
        except SearchError:
            log.info("trial %d has no complete parameters yet", frozen.number)
    return records


def _record(frozen: FrozenTrial, resolved: Resolved) -> TrialRecord:
    attrs = frozen.user_attrs
    spent = attrs.get(_SPENT, {})
    finished = frozen.state.is_finished()
    values = [frozen.intermediate_values[step] for step in sorted(frozen.intermediate_values)]
    lengths = VirtualEpochs(**attrs[_LENGTHS]) if _LENGTHS in attrs else None
    return TrialRecord(
        number=frozen.number,
        trial_id=frozen._trial_id,
        resolved=resolved,
        values=values,
        lengths=lengths,
        # Not what is recorded as spent: killed before the value, that would count a virtual epoch twice.
        steps=lengths.end_step(len(values)) if lengths and values else 0,
        samples=lengths.samples_at(len(values)) if lengths and values else 0,
        seconds=spent.get("seconds", 0.0),
        failures=attrs.get(_FAILURES, 0),
        outcome=Outcome(attrs.get(_OUTCOME, Outcome.FAILED)) if finished else None,
        reason=attrs.get(_REASON, ""),
    )


def best_record(records: Sequence[TrialRecord], mode: Literal["max", "min"]) -> TrialRecord | None:
    """The trial with the best objective of all; the first of equals. One that broke off has no say."""
    sign = 1.0 if mode == "max" else -1.0
    candidates = [r for r in records if r.values and r.outcome not in BROKEN_OFF]
    return max(candidates, key=lambda r: (sign * (r.best(mode) or 0.0), -r.number), default=None)


class _ProcessLock(BaseJournalFileLock):
    """A lock on the journal itself, which the kernel releases when its holder dies.

    Optuna's own, a file beside it, would stay for 30 s.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open_journal(path: Path) -> JournalStorage:
    try:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_ProcessLock(path)))
    except (ValueError, KeyError) as error:
        raise SearchError(f"{path} is damaged and cannot be read: {error}") from error


def _drop_half_line(path: Path) -> None:
    """Cut a journal back to its last whole line: a process was killed while it appended."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        log.warning("%s ended in half a line of %d bytes, which is dropped", path, len(content) - whole)
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
