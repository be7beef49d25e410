"""Removes what a finished or interrupted search no longer needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from search.commands.cleaned import add_cleaned
from search.config.config import Config
from search.config.schema import Mode
from search.config.stages import open_run
from search.errors import RefusedError, SearchError
from search.race.plan import read_plan
from search.run.disk.folder import RunFolder
from search.study.front import front_of
from search.study.reading import read_records
from search.study.trial import TrialRecord, ranked
from trainables.checkpoints.checkpoint import (
    DamagedCheckpointError,
    checkpoint_folder,
    list_checkpoints,
    list_damaged,
    list_origins,
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
    """What was removed, or would be removed without `dry_run`."""

    folder: Path
    dry_run: bool
    keep_trials: int
    items: list[Item]

    @property
    def num_bytes(self) -> int:
        return sum(item.num_bytes for item in self.items)


def clean(run: str | Path, *, dry_run: bool = False, keep_trials: int | None = None) -> Cleaning:
    """Remove checkpoints of all but the best trials, those set aside as damaged, and partial files.

    Of a race over seeds, those go whose trial races no longer.

    The study, TensorBoard events, the export and all checkpoints of unfinished trials are kept.

    Args:
        run: folder of a search that is not running.
        dry_run: remove nothing.
        keep_trials: number of best trials that keep their checkpoints (default: as configured). A trial whose
            best checkpoint is damaged or missing keeps the others and is not counted.

    Raises:
        SearchError: a search is running there, it is not the folder of a search, or a file cannot be removed.
        ConfigError: the configuration cannot be read.
    """
    if keep_trials is not None and keep_trials < 1:
        rule = "must be at least 1, as the best trial always stays"
        raise RefusedError(f"keep_trials is {keep_trials}; {rule}")
    folder = RunFolder.at(run)
    folder.require()
    with ExitStack() as stack:
        for place in dict.fromkeys([folder, *folder.stages()]):
            if not dry_run:
                stack.enter_context(place.owned(doing="clean"))
            elif (owner := place.owner()) is not None:
                raise SearchError(f"{place.path} belongs to a running search: {owner}; end that one first")
        cleaning = _plan(folder, keep_trials, dry_run=dry_run)
        if not dry_run:
            _remove_all(folder, cleaning.items)
    return cleaning


def _plan(folder: RunFolder, keep_trials: int | None, *, dry_run: bool) -> Cleaning:
    found = list(_leftovers(folder)) if folder.is_staged else []
    most_kept = keep_trials or 1
    for stage in folder.stages():
        config = open_run(stage.config).first
        number = keep_trials or config.checkpoint.keep_trials
        most_kept = max(most_kept, number)
        found += [*_checkpoints(stage, config, number), *_leftovers(stage)]
    found += _of_race(RunFolder(folder.confirm_path))
    items = [
        Item(
            str(path.relative_to(folder.path)),
            folder_bytes(path) if path.is_dir() else path.stat().st_size,
            reason,
        )
        for path, reason in found
    ]
    return Cleaning(folder=folder.path, dry_run=dry_run, keep_trials=most_kept, items=items)


def _checkpoints(folder: RunFolder, config: Config, keep_trials: int) -> Iterator[tuple[Path, str]]:
    """What to remove from the trials' folders, and why."""
    records, mode = read_records(folder.journal), config.objective.mode
    kept = {record.number for record in records if record.outcome is None}
    if config.objectives:
        kept |= {record.number for record in front_of(records, config.objectives)}
    num_exportable = 0
    for record in ranked(records, mode):
        if num_exportable < keep_trials:
            kept.add(record.number)
            num_exportable += _can_be_exported(folder, record, mode)
    removed = {record.number for record in records} - kept
    why = f"not among the best {keep_trials} trials" if keep_trials > 1 else "not the best trial"
    for trial in sorted((folder.path / "trials").glob("*")):
        if trial.name.isdecimal() and int(trial.name) in removed:
            yield from ((checkpoint_folder(trial, number), why) for number in list_checkpoints(trial))
            yield from ((path, why) for path in list_origins(trial))
        yield from ((path, "damaged, set aside") for path in list_damaged(trial))
        yield from ((path, _INTERRUPTED) for path in list_partial(trial))


def _of_race(home: RunFolder) -> Iterator[tuple[Path, str]]:
    """What to remove of the race: of those who race, any run may be one that is exported after more seeds."""
    plan = read_plan(home.race)
    if plan is None:
        return
    yield from _leftovers(home)
    for record in read_records(home.journal) if home.journal.is_file() else ():
        trial = home.trial(record.number)
        if plan.candidate_of(record) < 0:
            why = "of a trial that races no longer"
            yield from ((checkpoint_folder(trial, number), why) for number in list_checkpoints(trial))
        yield from ((path, "damaged, set aside") for path in list_damaged(trial))
        yield from ((path, _INTERRUPTED) for path in list_partial(trial))


def _can_be_exported(folder: RunFolder, record: TrialRecord, mode: Mode) -> bool:
    try:
        read_checkpoint(folder.trial(record.number), record.best_virtual_epoch(mode))
        return True
    except (DamagedCheckpointError, ValueError):
        return False


def _leftovers(folder: RunFolder) -> Iterator[tuple[Path, str]]:
    """What interrupted searches left beside the study, and why it may be removed."""
    if folder.scratch.exists():
        yield folder.scratch, "Ray's own files"
    for place in (folder.path, folder.prepared):
        yield from ((path, _INTERRUPTED) for path in list_partial(place))


def _remove_all(folder: RunFolder, items: Sequence[Item]) -> None:
    # A full disk may have room for the record only afterwards.
    with suppress(OSError):
        _record(folder, items)
    for item in items:
        _remove(folder.path / item.path)
    with suppress(OSError):
        _record(folder, items)


def _record(folder: RunFolder, items: Sequence[Item]) -> None:
    """Checkpoints of a search that are removed here are not missed later."""
    paths = [folder.path / item.path for item in items]
    trials = {path.parent for path in paths if path.name.startswith("checkpoint_")}
    for stage in folder.stages():
        add_cleaned(stage, [int(trial.name) for trial in trials if trial.parents[1] == stage.path])


def _remove(path: Path) -> None:
    try:
        discard(path)
    except OSError as error:
        raise SearchError(f"cannot remove {path}: {error.strerror}") from error
