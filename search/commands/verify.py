"""Looks for damaged files in the folder of a search, and says what each costs. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.commands.export import FILES, OPTIONAL_FILES, SUMS
from search.commands.verify_checkpoints import CheckpointCheck, Damage
from search.config.config import Config
from search.config.document import read_values
from search.config.schema import Mode
from search.config.stages import open_run
from search.errors import ConfigError
from search.run.folder import RunFolder
from search.run.provenance import working_folder
from search.study.journal_check import read_journal
from search.study.trial import TrialRecord
from trainables.checkpoint import sha256
from trainables.data.prepared import DamagedArraysError, read_arrays

__all__ = ["Damage", "Verification", "verify"]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was checked, and what was found damaged."""

    folder: Path
    owner: str | None
    """The search that runs there now: files that it is writing, or has not written yet, are no damage."""
    trials: int
    virtual_epochs: int
    checkpoints: int
    num_bytes: int
    """Size of the checkpoints."""
    damages: list[Damage]


def verify(run: str | Path, *, progress: Callable[[int, int], None] = lambda done, of: None) -> Verification:
    """Check every file of a search: study, checkpoints, configuration and export.

    Nothing is written, and the search may be running.

    Args:
        run: the folder of the search.
        progress: called with the bytes of the checkpoints that were read so far, and of all of them.

    Raises:
        SearchError: it is not the folder of a search, or others than its owner can write in it.
    """
    folder = RunFolder(Path(run).absolute())
    folder.require_private()
    if not folder.config.is_file() and not folder.journal.is_file():
        folder.require()
    with working_folder(folder):
        found = _Inspection(folder).verification(progress)
    if not folder.is_staged:
        return found
    stages = folder.stages()
    parts = [verify(stage.path, progress=progress) for stage in stages]
    damages = [*found.damages, *_damaged_bases(folder, stages[1:])]
    for stage, part in zip(stages, parts, strict=True):
        damages += [replace(d, path=f"stages/{stage.path.name}/{d.path}") for d in part.damages]
    return replace(
        found,
        trials=sum(part.trials for part in parts),
        virtual_epochs=sum(part.virtual_epochs for part in parts),
        checkpoints=sum(part.checkpoints for part in parts),
        num_bytes=sum(part.num_bytes for part in parts),
        damages=sorted(damages, key=lambda damage: damage.path),
    )


def _damaged_bases(folder: RunFolder, later_stages: Sequence[RunFolder]) -> Iterator[Damage]:
    """Files that say what a stage begins with, and cannot be read."""
    for stage in later_stages:
        try:
            reason = None if "options" in read_values(stage.base) else "is not whole"
        except ConfigError as error:
            reason = error.problems[0].message
        if reason is not None:
            cost = "this stage cannot go on; its values stand in its config.yaml too, under trial:"
            yield Damage(str(stage.base.relative_to(folder.path)), reason, cost)


class _Inspection:
    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._owner = folder, folder.owner()
        self._damages: list[Damage] = []

    def verification(self, progress: Callable[[int, int], None]) -> Verification:
        folder = self._folder
        # Before the journal: a trial is in the study before it has a folder.
        numbers = [int(path.name) for path in (folder.path / "trials").glob("*") if path.name.isdecimal()]
        config = self._read_config()
        records, mode = ([], "max") if folder.is_staged else self._read_journal(folder.journal)
        if folder.history.exists():
            self._read_journal(folder.history)
        checkpoints = CheckpointCheck(
            folder, numbers, records, mode, config, being_written=self._owner is not None
        )
        num_bytes = checkpoints.read(progress)
        self._damages += checkpoints.damages()
        self._check_prepared()
        self._check_export()
        self._check_json(folder.summary, "none: the search writes it again when it ends")
        self._check_json(folder.provenance, "changes of versions and code are not reported at the next start")
        return Verification(
            folder=folder.path,
            owner=self._owner,
            trials=len(records),
            virtual_epochs=sum(record.depth for record in records),
            checkpoints=checkpoints.num_checkpoints,
            num_bytes=num_bytes,
            damages=sorted(self._damages, key=lambda damage: damage.path),
        )

    def _add(self, path: Path, what: str, cost: str) -> None:
        self._damages.append(Damage(str(path.relative_to(self._folder.path)), what, cost))

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
            reading = read_journal(file, being_written=self._owner is not None)
        except OSError as error:
            self._add(file, f"cannot be read: {error.strerror}", "every parameter and value in it")
            return [], "max"
        for what, cost in reading.damages:
            self._add(file, what, cost)
        return reading.records, reading.mode

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
