"""Looks for damaged files in the folder of a search, and says what each costs. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from search.commands.checkpoint_faults import mismatch, newest_written, other_value
from search.commands.cleaned import cleaned_trials
from search.commands.damages import Damage, Verification, refuse_export
from search.config.config import Config
from search.config.document import read_values
from search.config.schema import Mode, NoScheduler
from search.config.stages import open_run
from search.errors import ConfigError, SearchError
from search.exports.files import SUMS, names_listed
from search.race.confirmed import Confirmed
from search.race.plan import read_plan
from search.run.before.kept_priors import kept_priors
from search.run.confirm import read_confirmed
from search.run.disk.folder import RunFolder
from search.run.disk.storage import faults_elsewhere
from search.schedulers.build import build_scheduler
from search.study.journal_check import read_journal
from search.study.trial import BROKEN_OFF, TrialRecord, ranked
from search.text import command, counted
from trainables.checkpoints.checkpoint import (
    REASON,
    DamagedCheckpointError,
    checkpoint_folder,
    list_checkpoints,
    list_damaged,
    read_checkpoint,
    sha256,
)
from trainables.data.prepared import DamagedArraysError, read_arrays
from trainables.files import folder_bytes


def verify(run: str | Path, *, progress: Callable[[int, int], None] = lambda done, of: None) -> Verification:
    """Check every file of a search: study, checkpoints, configuration and export.

    Nothing is written, and the search may be running.

    Args:
        run: the folder of the search; that of its race stands for it.
        progress: called with the number of bytes of checkpoints read so far, and their total.

    Raises:
        SearchError: it is not the folder of a search, or users other than its owner can write in it.
    """
    folder = RunFolder.at(run)
    folder = RunFolder(folder.run_path) if folder.is_race else folder
    folder.require_private()
    refuse_export(folder)
    if not folder.config.is_file() and not folder.journal.is_file():
        folder.require()
    checks = [_FolderCheck(p, folder.path, progress) for p in dict.fromkeys([folder, *folder.stages()])]
    for later_stage in checks[2:]:
        later_stage.check_base()
    searched = list(checks)
    if folder.confirm_path.is_dir():
        checks.append(_RaceCheck(RunFolder(folder.confirm_path), folder.path, progress))
    return Verification(
        folder=folder.path,
        owner=checks[0].owner,
        trials=sum(len(check.records) for check in searched),
        virtual_epochs=sum(record.depth for check in searched for record in check.records),
        checkpoints=sum(len(epochs) for check in checks for epochs in check.checkpoints.values()),
        num_bytes=sum(check.num_bytes for check in checks),
        damages=sorted((damage for check in checks for damage in check.damages), key=lambda d: d.path),
    )


class _FolderCheck:
    """What is damaged in the folder of a search, or of one of its stages."""

    def __init__(self, folder: RunFolder, root: Path, progress: Callable[[int, int], None]) -> None:
        self._folder, self._root = folder, root
        self.owner = RunFolder(root).owner() if folder.is_race else folder.owner()
        self.damages: list[Damage] = []
        # Listed before the journal is read: a trial is in the study before it has a folder.
        numbers = {int(path.name) for path in (folder.path / "trials").glob("*") if path.name.isdecimal()}
        self._config = self._read_config()
        self.records: Sequence[TrialRecord] = []
        self._mode: Mode = "max"
        self._most_kept = 1
        if folder.history.exists():
            self._read_journal(folder.history)
        if not folder.is_staged:
            self.records, self._mode = self._read_journal(folder.journal)
        self._ranked = ranked(self.records, self._mode)
        self.checkpoints: dict[int, dict[int, str | None]] = {
            number: {} for number in sorted(numbers | {record.number for record in self.records})
        }
        """By trial and virtual epoch: what is wrong with the checkpoint, or None if it is intact."""
        self.num_bytes = self._read_checkpoints(progress)
        self._report_checkpoints()
        self._check_prepared()
        self._check_export()
        self._check_priors()
        self._check_json(folder.summary, "none: the search writes it again when it ends")
        self._check_json(folder.provenance, "changes of versions and code are not reported at the next start")

    def check_base(self) -> None:
        """Check the file that holds the values a later stage begins with."""
        try:
            reason = None if "options" in read_values(self._folder.base) else "is not whole"
        except ConfigError as error:
            reason = error.problems[0].message
        if reason is not None:
            cost = "this stage cannot continue; its values are in its config.yaml too, under trial:"
            self._add(self._folder.base, reason, cost)

    def _add(self, path: Path, what: str, cost: str) -> None:
        self.damages.append(Damage(str(path.relative_to(self._root)), what, cost))

    def _read_config(self) -> Config | None:
        file = self._folder.config
        try:
            return open_run(file).first
        except ConfigError as error:
            what = "; ".join(": ".join(p for p in (x.path, x.message) if p) for x in error.problems)
            cost = "the search cannot continue and nothing can be exported until it is repaired"
            self._add(file, what, f"{cost}; the file that the search was started with will do")
            return None

    def _read_journal(self, file: Path) -> tuple[Sequence[TrialRecord], Mode]:
        """The trials in a journal, as far as it can be read, and the mode of the objective."""
        try:
            reading = read_journal(file, being_written=self.owner is not None)
        except OSError as error:
            self._add(file, f"cannot be read: {error.strerror}", "every parameter and value in it")
            return [], "max"
        self._most_kept = reading.kept
        for what, cost in reading.damages:
            self._add(file, what, cost)
        return reading.records, reading.mode

    def _read_checkpoints(self, progress: Callable[[int, int], None]) -> int:
        """Compare every checkpoint with its checksums and with the study; returns their bytes."""
        records = {record.number: record for record in self.records}
        sizes = {
            (number, epoch): folder_bytes(self._checkpoint(number, epoch))
            for number in self.checkpoints
            for epoch in list_checkpoints(self._folder.trial(number))
        }
        done, total = 0, sum(sizes.values())
        for (number, epoch), size in sizes.items():
            progress(done, total)
            fault = self._read(number, epoch, records.get(number))
            if (
                self.owner is None or self._checkpoint(number, epoch).exists()
            ):  # else just removed by the search
                self.checkpoints[number][epoch] = fault
            done += size
        return total

    def _read(self, number: int, epoch: int, record: TrialRecord | None) -> str | None:
        """What is wrong with a checkpoint; None if nothing is."""
        try:
            info = read_checkpoint(self._folder.trial(number), epoch).info
        except DamagedCheckpointError as error:
            return error.reason
        except (ValueError, OSError) as error:
            return str(error).removeprefix(f"{self._checkpoint(number, epoch)} ")
        if record is None:
            return None
        fault = mismatch(info, epoch, record)
        if fault is None and (difference := other_value(info, record)):
            cost = "the search uses the value in the study, an export the one in the checkpoint"
            self._add(self._checkpoint(number, epoch), difference, cost)
        return fault

    def _report_checkpoints(self) -> None:
        """Add what is damaged, was set aside, belongs to no trial, or is missing."""
        faults = {
            record.number: {epoch: fault for epoch, fault in self.checkpoints[record.number].items() if fault}
            for record in self.records
        }
        needed = self._needed() if self.owner is None else []
        absent = [(r.number, epoch) for r, epoch in needed if epoch not in self.checkpoints[r.number]]
        for number, epoch, fault in faults_elsewhere(self._config, self._folder, absent):
            faults[number][epoch] = fault
        for record in self.records:
            for epoch, fault in faults[record.number].items():
                self._add(self._checkpoint(record.number, epoch), fault, self._cost(record, epoch))
            for folder in list_damaged(self._folder.trial(record.number)):
                file = folder / REASON
                reason = file.read_text(encoding="utf-8").strip() if file.is_file() else "damaged"
                cost = "none: the trial continued without it; `tune-search clean` removes it"
                self._add(folder, f"was set aside: {reason}", cost)
        for number, epochs in self.checkpoints.items():
            if epochs and number not in faults and self.owner is None:
                cost = (
                    "its values are lost; move it away, or a new trial of this number takes its checkpoints"
                )
                self._add(self._folder.trial(number), "is of no trial in the study", cost)

    def _checkpoint(self, number: int, epoch: int) -> Path:
        return checkpoint_folder(self._folder.trial(number), epoch)

    def _needed(self) -> list[tuple[TrialRecord, int]]:
        """Checkpoints that must exist: those of the best trials, which keep theirs, and the newest of each
        trial that was interrupted."""
        needed = [(best, best.best_virtual_epoch(self._mode)) for best in self._kept()]
        if self._config is not None:
            scheduler, every = build_scheduler(self._config), self._config.checkpoint.every
            for record in self.records:
                paused = scheduler.pauses and record.depth != record.promoted_at
                if record.outcome is not None or (paused and scheduler.rungs.pauses(record)):
                    continue
                epoch = newest_written(record, self._mode, every)
                if epoch > self._newest_intact(record):
                    needed.append((record, epoch))
        return needed

    def _exported(self) -> Sequence[TrialRecord]:
        """The trial that an export takes, if there is one."""
        return self._ranked[:1]

    def _kept(self) -> Sequence[TrialRecord]:
        """The trials that keep their best checkpoints, but those of which `clean` has taken them."""
        if self._config is None:
            return self._exported()
        # One that broke off was among the best until then, and another had lost its checkpoints to it.
        broken_off = sum(bool(record.values) and record.outcome in BROKEN_OFF for record in self.records)
        cleaned = cleaned_trials(self._folder)
        most = min(self._config.checkpoint.keep_trials, self._most_kept)
        best = self._ranked[: max(1, most - broken_off)]
        return [*best[:1], *(record for record in best[1:] if record.number not in cleaned)]

    def _newest_intact(self, record: TrialRecord) -> int:
        epochs = self.checkpoints[record.number]
        return max((epoch for epoch, fault in epochs.items() if fault is None), default=0)

    def _cost(self, record: TrialRecord, epoch: int) -> str:
        """What it costs that a checkpoint is damaged or missing."""
        newest = self._newest_intact(record)
        lost = record.outcome is None and epoch > newest
        exported = record in self._ranked and epoch == record.best_virtual_epoch(self._mode)
        costs = []
        # A value that is computed again can be exported then; the best of all is missed until then.
        if exported and (not lost or record in self._exported()):
            costs.append(self._cost_of_export(record))
        if lost:
            start = f"continues from virtual epoch {newest}" if newest else "starts again"
            again = counted(max(record.depth, epoch) - newest, "virtual epoch")
            costs.append(f"trial {record.number} {start}: {again} to compute again")
        return "; ".join(costs) or f"none: trial {record.number} does not need it"

    def _cost_of_export(self, record: TrialRecord) -> str:
        if record is not self._ranked[0]:
            return f"trial {record.number} cannot be exported"
        for other in self._ranked[1:]:
            epoch, faults = other.best_virtual_epoch(self._mode), self.checkpoints[other.number]
            if epoch in faults and faults[epoch] is None:
                metric = self._config.objective.metric if self._config else "objective"
                alternative = f"trial {other.number} ({metric} {other.value(self._mode):.4g})"
                return f"the best trial cannot be exported; the next best intact is {alternative}"
        return "the best trial cannot be exported, and no other has its best checkpoint"

    def _check_prepared(self) -> None:
        for file in sorted(self._folder.prepared.glob("*.safetensors")):
            try:
                read_arrays(file)
            except DamagedArraysError as error:
                cost = (
                    "trials that need it cannot continue or be exported; once removed, it is computed again, "
                    "and values compare only where the same libraries give the same arrays"
                )
                self._add(file, error.reason, cost)

    def _check_priors(self) -> None:
        try:
            kept_priors(self._folder)
        except ConfigError as error:
            cost = "the same `priors:` cannot be given again; what was taken is in config.yaml"
            self._add(self._folder.priors, error.problems[0].message, cost)

    def _check_export(self) -> None:
        folder = self._folder.exported
        if not folder.is_dir():
            return
        cost = f"this export cannot be used; `{command('export', self._folder.path)}` writes it again"
        sums = folder / SUMS
        if not sums.is_file():
            self._add(sums, "is missing", cost)
            return
        text = sums.read_text(errors="replace", encoding="utf-8")
        lines = [line.partition("  ") for line in text.splitlines()]
        listed = {name: expected for expected, _, name in lines}
        for name in names_listed(listed):
            file, expected = folder / name, listed.get(name, "nothing")
            found = sha256(file) if file.is_file() else None
            if found is None:
                self._add(file, "is missing", cost)
            elif found != expected:
                self._add(file, f"SHA-256 is {found[:12]}…, {SUMS} says {expected[:12]}…", cost)

    def _check_json(self, file: Path, cost: str) -> None:
        try:
            if file.exists():
                json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            self._add(file, f"cannot be read: {error}", cost)


class _RaceCheck(_FolderCheck):
    """What is damaged in the folder of a race."""

    _confirmed: Confirmed | None = None

    def _read_config(self) -> Config | None:
        """That of the search, whose faults are told there, for runs that all go to their end."""
        whole = RunFolder(self._root)
        try:
            if read_plan(self._folder.race) is None and self._folder.journal.is_file():
                cost = f"none: `{command('confirm', self._root)}` plans the race again"
                self._add(self._folder.race, "is missing", cost)
        except SearchError as error:
            self._add(self._folder.race, str(error), "the race cannot continue, and its winner is not known")
        try:
            self._confirmed = read_confirmed(whole)
            config = open_run(whole.stages()[-1].config).first
        except (SearchError, OSError, IndexError):
            return None
        return config.model_copy(update={"scheduler": NoScheduler()})

    def _read_journal(self, file: Path) -> tuple[Sequence[TrialRecord], Mode]:
        has_begun = file.is_file() or (self._folder.path / "trials").is_dir()
        return super()._read_journal(file) if has_begun else ([], "max")

    def _kept(self) -> Sequence[TrialRecord]:
        return self._exported()

    def _exported(self) -> Sequence[TrialRecord]:
        race = self._confirmed
        run = race.run if race is not None and race.status == "complete" else None
        return [record for record in self.records if record.number == run]

    def _cost_of_export(self, record: TrialRecord) -> str:
        if record not in self._exported() or self._confirmed is None:
            return f"run {record.number} of the race cannot be exported; it is not the one that would be"
        other = command("export", self._root, "--trial", str(self._confirmed.winner))
        return (
            f"run {record.number} of the race, which stands for its winner, cannot be exported; `{other}` "
            "exports the search's checkpoint"
        )
