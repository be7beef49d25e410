"""Removes what a finished or interrupted search no longer needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from search.config.schema import Mode
from search.config.stages import open_run
from search.errors import SearchError
from search.run.folder import RunFolder
from search.run.retention import trials_to_keep
from search.study.study import read_records
from search.study.trial import TrialRecord
from trainables.checkpoint import (
    DamagedCheckpointError,
    checkpoint_folder,
    list_checkpoints,
    list_damaged,
    read_checkpoint,
)
from trainables.files import discard, folder_bytes, list_partial

_INTERRUPTED = "left by an interrupted write"


@dataclass(frozen=True)
class Item:
    """A file or folder to remove."""

    path: str
    """Relative to the run's folder."""
    num_bytes: int
    why: str


@dataclass(frozen=True, kw_only=True)
class Cleaning:
    """What was removed, or would be without `dry_run`."""

    folder: Path
    dry_run: bool
    keep_trials: int
    items: list[Item]

    @property
    def num_bytes(self) -> int:
        return sum(item.num_bytes for item in self.items)


def clean(run: str | Path, *, dry_run: bool = False, keep_trials: int | None = None) -> Cleaning:
    """Remove checkpoints of all but the best trials, damaged checkpoints, and partial files.

    The study, TensorBoard events and the export stay, and all checkpoints of unfinished trials.

    Args:
        run: folder of a search that is not running.
        dry_run: only say what would be removed; nothing is written.
        keep_trials: number of best trials that keep their checkpoints (default: as configured). A trial whose
            best checkpoint is damaged or missing keeps what it has, and the next one counts in its place.

    Raises:
        SearchError: a search is running there, it is not the folder of a search, or a file cannot be removed.
        ConfigError: the configuration cannot be read.
    """
    if keep_trials is not None and keep_trials < 1:
        raise SearchError(f"keep_trials is {keep_trials}; must be at least 1, as the best trial always stays")
    folder = RunFolder(Path(run).absolute())
    folder.require()
    with ExitStack() as stack:
        for place in dict.fromkeys([folder, *folder.stages()]):
            if not dry_run:
                stack.enter_context(place.owned())
            elif (owner := place.owner()) is not None:
                raise SearchError(f"{place.path} belongs to a running search: {owner}; end that one first")
        cleaning = _plan(folder, keep_trials, dry_run=dry_run)
        for item in () if dry_run else cleaning.items:
            _remove(folder.path / item.path)
    return cleaning


def _plan(folder: RunFolder, keep_trials: int | None, *, dry_run: bool) -> Cleaning:
    stages = folder.stages()
    configs = [open_run(stage.config).first for stage in stages]
    numbers = [keep_trials or config.checkpoint.keep_trials for config in configs]
    found = [
        item
        for stage, config, number in zip(stages, configs, numbers, strict=True)
        for item in (*_of_trials(stage, config.objective.mode, number), *_of_the_run(stage))
    ]
    found += _of_the_run(folder) if folder.is_staged else ()
    items = [Item(str(path.relative_to(folder.path)), _size(path), reason) for path, reason in found]
    return Cleaning(
        folder=folder.path, dry_run=dry_run, keep_trials=max(numbers, default=keep_trials or 1), items=items
    )


def _kept(folder: RunFolder, records: Sequence[TrialRecord], mode: Mode, keep_trials: int) -> set[int]:
    """Trials that keep their checkpoints; for each that cannot be exported, one more of the others."""
    going_on = {record.number for record in records if record.outcome is None}
    by_number = {record.number: record for record in records}
    intact: set[int] = set()
    broken: set[int] = set()
    while True:
        sound = [record for record in records if record.number not in broken]
        best = trials_to_keep(sound, mode=mode, keep_trials=keep_trials, going_on=())
        if best <= intact:
            return best | broken | going_on
        for number in best - intact:
            (intact if _can_be_exported(folder, by_number[number], mode) else broken).add(number)


def _can_be_exported(folder: RunFolder, record: TrialRecord, mode: Mode) -> bool:
    try:
        read_checkpoint(folder.trial(record.number), record.best_virtual_epoch(mode))
        return True
    except (DamagedCheckpointError, ValueError):
        return False


def _of_trials(folder: RunFolder, mode: Mode, keep_trials: int) -> Iterator[tuple[Path, str]]:
    records = read_records(folder.journal)
    kept = _kept(folder, records, mode, keep_trials)
    ended = {record.number for record in records} - kept
    why = f"not among the best {keep_trials} trials" if keep_trials > 1 else "not the best trial"
    for trial in sorted((folder.path / "trials").glob("*")):
        if trial.name.isdecimal() and int(trial.name) in ended:
            yield from ((checkpoint_folder(trial, number), why) for number in list_checkpoints(trial))
        yield from ((path, "damaged, set aside") for path in list_damaged(trial))
        yield from ((path, _INTERRUPTED) for path in list_partial(trial))


def _of_the_run(folder: RunFolder) -> Iterator[tuple[Path, str]]:
    """What interrupted writes have left beside the study, and why it may be removed."""
    if folder.scratch.exists():
        yield folder.scratch, "Ray's own files"
    for place in (folder.path, folder.prepared):
        yield from ((path, _INTERRUPTED) for path in list_partial(place))


def _size(path: Path) -> int:
    return folder_bytes(path) if path.is_dir() else path.stat().st_size


def _remove(path: Path) -> None:
    try:
        discard(path)
    except OSError as error:
        raise SearchError(f"cannot remove {path}: {error.strerror}") from error
