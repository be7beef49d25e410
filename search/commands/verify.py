"""Looks for damage in the folder of a search, and says what each costs. Reads only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.commands.export import FILES, OPTIONAL_FILES, SUMS
from search.config.config import Config, load_config
from search.config.document import read_document
from search.errors import ConfigError
from search.run.folder import RunFolder
from search.run.provenance import working_folder
from search.run.recovery import needed_trials
from search.run.retention import ranked
from search.schedulers.early_stopping import build_rule
from search.study.journal_check import JournalReading, journal_copy, read_journal
from search.study.study import SearchStudy, TrialRecord
from search.text import dotted
from trainables.checkpoint import (
    REASON,
    DamagedCheckpointError,
    checkpoint_folder,
    folder_bytes,
    list_checkpoints,
    list_damaged,
    read_checkpoint,
    sha256,
)
from trainables.data.prepared import DamagedArraysError, read_arrays

_NO_STUDY = JournalReading(b"", [], "max", [])
_UNKNOWN = "its values are lost; move it away, or the search takes its checkpoints for those of a new trial"


@dataclass(frozen=True)
class Damage:
    """Something in a run's folder that is not as it was written."""

    path: str
    """Relative to the run's folder."""
    what: str
    cost: str
    """What is lost, or is to be computed again."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was looked at, and what was found damaged."""

    folder: Path
    owner: str | None
    """The search that runs there now; what it is writing is not called damage, nor what is missing then."""
    trials: int
    virtual_epochs: int
    checkpoints: int
    num_bytes: int
    """Of the checkpoints."""
    damages: list[Damage]


def verify(run: str | Path, *, progress: Callable[[int, int], None] = lambda done, of: None) -> Verification:
    """Check everything in the folder of a search that is kept: study, checkpoints, export, configuration.

    Nothing is written, and a search may be running.

    Args:
        run: the folder.
        progress: called with the bytes of the checkpoints that were read, and of all.

    Raises:
        SearchError: it is not the folder of a search, or others than its owner can write in it.
        ConfigError: the task cannot be imported here, or an environment variable is not set.
    """
    folder = RunFolder(Path(run).absolute())
    folder.require_private()
    if not folder.config.is_file() and not folder.journal.is_file():
        folder.require()
    with working_folder(folder):
        found = _Inspection(folder, progress).verification()
    if not folder.is_staged:
        return found
    from search.commands.staged_folder import verify_stages

    return verify_stages(found, folder, progress)


@dataclass
class _Trial:
    """A trial's checkpoints, by their virtual epochs."""

    folder: Path
    record: TrialRecord | None
    intact: list[int] = field(default_factory=list)
    damaged: dict[int, str] = field(default_factory=dict)
    """With the reason."""

    @property
    def newest(self) -> int:
        """The newest intact one; 0 without one."""
        return max(self.intact, default=0)


class _Inspection:
    def __init__(self, folder: RunFolder, progress: Callable[[int, int], None]) -> None:
        self._folder, self._progress = folder, progress
        self._owner = folder.owner()
        self._damages: list[Damage] = []
        # Before the journal: a trial is in the study before it has a folder.
        numbers = [int(path.name) for path in (folder.path / "trials").glob("*") if path.name.isdecimal()]
        self._config = self._read_config()
        self._journal = _NO_STUDY if folder.is_staged else self._read_journal(folder.journal)
        self._ranked = ranked(self._journal.records, self._journal.mode)
        self._records = {record.number: record for record in self._journal.records}
        self._trials = {
            number: _Trial(folder.trial(number), self._records.get(number))
            for number in sorted({*numbers, *self._records})
        }

    def verification(self) -> Verification:
        if self._folder.history.exists():
            self._read_journal(self._folder.history)
        num_bytes = self._read_checkpoints()
        for trial in self._trials.values():
            self._judge(trial)
        self._check_missing()
        self._check_prepared()
        self._check_export()
        self._check_json(self._folder.summary, "none, as the search writes it anew when it ends")
        self._check_json(self._folder.provenance, "changed versions and code are not told at the next start")
        return Verification(
            folder=self._folder.path,
            owner=self._owner,
            trials=len(self._records),
            virtual_epochs=sum(record.depth for record in self._records.values()),
            checkpoints=sum(len(trial.intact) + len(trial.damaged) for trial in self._trials.values()),
            num_bytes=num_bytes,
            damages=sorted(self._damages, key=lambda damage: damage.path),
        )

    def _add(self, path: Path, what: str, cost: str) -> None:
        self._damages.append(Damage(str(path.relative_to(self._folder.path)), what, cost))

    def _read_config(self) -> Config | None:
        file = self._folder.config
        try:
            return load_config(file)
        except ConfigError as error:
            if _lies_in_surroundings(error, file):
                raise
            what = "; ".join(": ".join(p for p in (x.path, x.message) if p) for x in error.problems)
            cost = "the search cannot go on and nothing can be exported, until it is put right"
            self._add(file, what, f"{cost}; the file that the search was started with will do")
            return None

    def _read_journal(self, file: Path) -> JournalReading:
        try:
            reading = read_journal(file, being_written=self._owner is not None)
        except OSError as error:
            self._add(file, f"cannot be read: {error.strerror}", "every parameter and value in it")
            return _NO_STUDY
        for fault in reading.faults:
            self._add(file, fault.what, fault.cost)
        return reading

    def _read_checkpoints(self) -> int:
        """Compare every checkpoint with its sums and with the study; returns their bytes."""
        all_of_them = [
            (trial, number, folder_bytes(checkpoint_folder(trial.folder, number)))
            for trial in self._trials.values()
            for number in list_checkpoints(trial.folder)
        ]
        done, of = 0, sum(size for *_, size in all_of_them)
        for trial, number, size in all_of_them:
            self._progress(done, of)
            self._read_checkpoint(trial, number)
            done += size
        return of

    def _read_checkpoint(self, trial: _Trial, number: int) -> None:
        folder = checkpoint_folder(trial.folder, number)
        try:
            info = read_checkpoint(trial.folder, number).info
        except DamagedCheckpointError as error:
            if folder.exists() or self._owner is None:  # else the search has removed it
                trial.damaged[number] = error.reason
            return
        except (ValueError, OSError) as error:
            trial.damaged[number] = str(error).removeprefix(f"{folder} ")
            return
        foreign = _foreign(info, number, trial.record) if trial.record else None
        if foreign is not None:
            trial.damaged[number] = f"{foreign}; remove it"
            return
        trial.intact.append(number)
        other = _other_value(info, trial.record) if trial.record else None
        if other is not None:
            self._add(folder, other, "the search goes by the study's value, an export by the checkpoint's")

    def _judge(self, trial: _Trial) -> None:
        """Say what each damaged checkpoint of a trial costs."""
        record = trial.record
        if record is None:
            if self._owner is None and (trial.intact or trial.damaged):
                self._add(trial.folder, "is of no trial in the study", _UNKNOWN)
            return
        for number, reason in trial.damaged.items():
            cost = self._cost(trial, record, number)
            self._add(checkpoint_folder(trial.folder, number), reason, cost)
        for folder in list_damaged(trial.folder):
            file = folder / REASON
            reason = file.read_text().strip() if file.is_file() else "damaged"
            cost = "none any more, the trial went on without it; `tune-search clean` removes it"
            self._add(folder, f"was set aside: {reason}", cost)

    def _cost(self, trial: _Trial, record: TrialRecord, number: int) -> str:
        again = record.outcome is None and number > trial.newest
        exported = record in self._ranked and number == self._best_of(record)
        costs: list[str] = []
        # What is computed again can be exported then; until then, the best of all is missed.
        if exported and (not again or record is self._ranked[0]):
            costs.append(self._not_exported(record))
        if again and number == max(trial.damaged):
            costs.append(_again(trial, record, number))
        if again:
            why = f"loses more with {checkpoint_folder(trial.folder, max(trial.damaged)).name}"
        else:
            goes_on = record.outcome is None
            why = "goes on from a newer one" if goes_on else "has ended and another one is its best"
        return "; ".join(costs) or f"none, as trial {record.number} {why}"

    def _best_of(self, record: TrialRecord) -> int:
        return record.best_virtual_epoch(self._journal.mode)

    def _not_exported(self, record: TrialRecord) -> str:
        best, *others = self._ranked
        if record is not best:
            return f"trial {record.number} cannot be exported"
        intact = (r for r in others if self._best_of(r) in self._trials[r.number].intact)
        other = next(intact, None)
        if other is None:
            return "the best trial cannot be exported, and no other has its best checkpoint"
        metric = self._config.objective.metric if self._config else "objective"
        return (
            "the best trial cannot be exported; the next best intact is "
            f"trial {other.number} ({metric} {other.best(self._journal.mode):.4g})"
        )

    def _check_missing(self) -> None:
        """Checkpoints that must be there: the best one of all, and one of each trial that goes on."""
        if self._owner is not None:
            return
        for best in self._ranked[:1]:
            folder = self._trials[best.number].folder
            if self._best_of(best) not in list_checkpoints(folder):
                file = checkpoint_folder(folder, self._best_of(best))
                self._add(file, "is missing", self._not_exported(best))
        if self._config is None:
            return
        for number in sorted(_next_trials(self._config, self._journal.content)):
            trial, record = self._trials[number], self._records[number]
            newest = _newest_written(record, self._config)
            if max([*trial.intact, *trial.damaged], default=0) < newest:
                folder = checkpoint_folder(trial.folder, newest)
                self._add(folder, "is missing", _again(trial, record, newest))

    def _check_prepared(self) -> None:
        for file in sorted(self._folder.prepared.glob("*.safetensors")):
            try:
                read_arrays(file)
            except DamagedArraysError as error:
                cost = "trials that need it cannot go on or be exported; removed, it is computed again"
                what = "values from before and after compare only where the same libraries give the same"
                self._add(file, error.reason, f"{cost}, and {what}")

    def _check_export(self) -> None:
        folder = self._folder.exported
        if not folder.is_dir():
            return
        cost = f"this export cannot be used; `tune-search export {self._folder.path}` writes it again"
        sums = folder / SUMS
        if not sums.is_file():
            self._add(sums, "is missing", cost)
            return
        lines = [line.partition("  ") for line in sums.read_text(errors="replace").splitlines()]
        listed = {name: expected for expected, _, name in lines}
        for name in (*FILES, *(name for name in OPTIONAL_FILES if name in listed)):
            file, expected = folder / name, listed.get(name, "nothing")
            found = sha256(file) if file.is_file() else None
            if found is None:
                self._add(file, "is missing", cost)
            elif found != expected:
                self._add(file, f"SHA-256 is {found[:12]}…, {SUMS} says {expected[:12]}…", cost)

    def _check_json(self, file: Path, cost: str) -> None:
        try:
            if file.exists():
                json.loads(file.read_text())
        except (ValueError, OSError) as error:
            self._add(file, f"cannot be read: {error}", cost)


def _lies_in_surroundings(error: ConfigError, file: Path) -> bool:
    """The file is as it was, but its task or an environment variable that it names is not to be found."""
    try:
        told = read_document(file).told
    except ConfigError:
        return False
    return {problem.path for problem in error.problems} <= {"task", *(dotted(path) for path in told)}


def _foreign(info: Mapping[str, Any], virtual_epoch: int, record: TrialRecord) -> str | None:
    """Why a checkpoint cannot be the trial's."""
    history = info.get("history")
    if not isinstance(history, list) or len(history) != virtual_epoch:
        return f"its history is not one of {virtual_epoch} virtual epochs"
    if info.get("trial") != record.number:
        return f"it is of trial {info.get('trial')}"
    if info.get("options") != json.loads(json.dumps(record.resolved.raw)):
        return "it was trained with other options than the study has for the trial"
    return None


def _other_value(info: Mapping[str, Any], record: TrialRecord) -> str | None:
    """Where a checkpoint's history and the study differ."""
    metric = info.get("metric")
    for number, (entry, value) in enumerate(zip(info["history"], record.values, strict=False), start=1):
        found = entry.get(metric) if isinstance(entry, dict) else None
        if found != value:
            return f"says {metric} {found} at virtual epoch {number}, and the study {value}"
    return None


def _again(trial: _Trial, record: TrialRecord, number: int) -> str:
    """What a trial that goes on loses with the checkpoint `number`."""
    lost = max(record.depth, number) - trial.newest
    if trial.newest:
        return f"trial {record.number} goes on from virtual epoch {trial.newest}: {lost} to compute again"
    epochs = "virtual epoch" if lost == 1 else "virtual epochs"
    return f"trial {record.number} begins again: {lost} {epochs} computed again"


def _newest_written(record: TrialRecord, config: Config) -> int:
    """The newest virtual epoch in the study after which a checkpoint was written; 0 before the first."""
    best = [record.best(config.objective.mode, depth) for depth in range(record.depth + 1)]
    written = [
        number
        for number in range(1, record.depth + 1)
        if number % config.checkpoint.every == 0 or best[number] != best[number - 1]
    ]
    return max(written, default=0)


def _next_trials(config: Config, content: bytes) -> set[int]:
    """Trials that the search would go on with; decided on a copy of the study.

    Other paused trials may have lost their checkpoints to better ones.
    """
    with journal_copy(content) as copy:
        study = SearchStudy(copy, name=config.name, mode=config.objective.mode, space=config.space)
        return {record.number for record in needed_trials(study, build_rule(config), config)}
