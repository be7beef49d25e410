"""`tune-search list`: the runs of a folder, each with its state, its best trial and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from search.addresses import local_path
from search.config.schema import Objective
from search.errors import SearchError
from search.listing.find import Size, find_runs, size_of
from search.listing.progress import Progress, progress_of
from search.listing.reading import RunReading, StageReading, read_run
from search.listing.state import RunState, State, state_of
from search.race.confirmed import Confirmed
from search.run.confirm import read_confirmed
from search.run.disk.folder import RunFolder
from search.run.disk.heartbeat import Heard, Listener
from search.study.front import front_of
from search.study.reading import read_study
from search.study.trial import TrialRecord, best_record

_LISTEN_SECONDS = 1.0
"""For which owners on other machines are listened to at once, since this began to look for runs."""


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """One run, as a search that may be going on has left it."""

    name: str
    """Its folder, relative to the one that was listed."""
    folder: Path
    state: RunState
    objectives: list[Objective] = field(default_factory=list)
    """One or several; empty for a run that cannot be read."""
    best: tuple[StageReading, TrialRecord] | None = None
    """The best trial by the first objective, of the last stage that has one."""
    front: int | None = None
    """Trials that no other beats, where there are several objectives."""
    progress: Progress | None = None
    stages: tuple[str, ...] = ()
    """Names of the stages that have begun."""
    num_stages: int = 0
    """Of all that there will be; 0 where there are none."""
    last_report: float | None = None
    """When a trial last began, reported or ended, in Unix seconds. Where the version that ran it kept no
    times, and of a run that cannot be read: when the journal was last written, if only by a copy."""
    size: Size | None = None
    address: str = ""
    """Of a run in a storage, whose folder here is a temporary one."""
    race: Confirmed | None = None

    @property
    def best_value(self) -> float | None:
        """The first objective of the best trial at its best virtual epoch."""
        return None if self.best is None else self.best[1].value(self.objectives[0].mode)

    def as_dict(self) -> dict[str, Any]:
        """Plain values under the keys that docs/list.md documents."""
        heard, progress, size, race = self.state.heard, self.progress, self.size, self.race
        objective = self.objectives[0] if self.objectives else None
        best = None
        if self.best is not None:
            stage, record = self.best
            best = {"trial": stage.name_of(record), "value": self.best_value}
            best |= {"of_other_data": record.of_other_data}
        return {
            "name": self.name,
            "folder": self.address or str(self.folder),
            "state": self.state.state.value,
            "reason": self.state.reason,
            "damaged": self.state.damaged,
            "owner": None if heard is None else _owner_dict(heard),
            "metric": None if objective is None else objective.metric,
            "mode": None if objective is None else objective.mode,
            "best": best,
            "front": self.front,
            "trials_ended": None if progress is None else progress.ended,
            "trials_begun": None if progress is None else progress.trials,
            "trials_of": None if progress is None else progress.of,
            "progress": None if progress is None else round(progress.share, 4),
            "progress_by": None if progress is None else progress.by,
            "stages": list(self.stages),
            "stages_of": self.num_stages,
            "race": None if race is None else {"status": race.status, "winner": race.winner},
            "last_report": None if self.last_report is None else iso(self.last_report),
            "size_bytes": None if size is None else size.num_bytes,
            "size_is_whole": None if size is None else size.is_whole,
        }


def iso(seconds: float) -> str:
    """A moment in Unix seconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _owner_dict(heard: Heard) -> dict[str, Any]:
    owner = heard.owner
    return {
        "host": owner.host,
        "pid": owner.pid,
        "since": owner.since.replace(" UTC", "Z").replace(" ", "T"),
        "silent_seconds": round(heard.silent, 1),
    }


def list_runs(
    folder: str | Path = "results",
    *,
    phase: Callable[[str], None] = lambda text: None,
    unread: Callable[[OSError], None] = lambda error: None,
) -> list[ListedRun]:
    """The runs in a folder and below it, that of the newest activity first. Nothing is locked or written.

    >>> [run.name for run in search.list_runs("results") if run.state.state == "running"]

    Args:
        folder: such as `results`; a run's own folder gives that one.
        phase: called with a line on what is being read.
        unread: called for each folder that cannot be read.

    Raises:
        SearchError: the folder is an address of another storage.
    """
    root = local_path(folder).absolute()
    looking = "looking for runs: {} folders".format
    found = list(find_runs(root, unread=unread, looked=lambda number: phase(looking(f"{number:,}"))))
    listener = Listener(run.owner_file for run in found)
    listener.listen(_LISTEN_SECONDS, phase)
    listed = []
    for number, run in enumerate(found, 1):
        name = str(run.path.relative_to(root)) if run.path != root else root.name
        phase(f"reading run {number} of {len(found)}: {name}")
        listed.append(listed_run(run, name, listener.heard(run.owner_file)))
    return sorted(listed, key=lambda run: (-(run.last_report or 0.0), run.name))


def listed_run(folder: RunFolder, name: str, heard: Heard | None) -> ListedRun:
    """One run; one that cannot be read has the state damaged."""
    try:
        return described(read_run(folder), name, heard)
    except (SearchError, OSError) as error:
        return unreadable(folder, name, heard, error)


def unreadable(folder: RunFolder, name: str, heard: Heard | None, error: Exception) -> ListedRun:
    """A run whose configuration or study cannot be read."""
    names = (folder.config.name, folder.race.name, folder.journal.name)
    damaged = next((name for name in names if name in str(error)), "")
    if isinstance(error, OSError):
        damaged = f"{Path(error.filename or folder.path).name}: {error.strerror}"
    state = RunState(State.DAMAGED, str(error), heard, damaged)
    return ListedRun(
        name=name,
        folder=folder.path,
        state=state,
        last_report=_last_report(folder),
        size=size_of(folder.path),
    )


def described(run: RunReading, name: str, heard: Heard | None) -> ListedRun:
    """A run that has been read.

    Raises:
        SearchError: its race is damaged.
        OSError: a file cannot be read.
    """
    race = read_confirmed(run.folder) if RunFolder(run.folder.confirm_path).race.is_file() else None
    state = state_of(run, heard, race)
    several = run.search.first.objectives
    front = None
    if several is not None:
        front = len(front_of(run.last.records, several)) if run.last is not None else 0
    return ListedRun(
        name=name,
        folder=run.folder.path,
        state=state,
        objectives=list(several or [run.search.objective]),
        best=best_of(run),
        front=front,
        progress=progress_of(run, is_complete=state.state is State.COMPLETE),
        stages=tuple(stage.name for stage in run.stages if stage.name),
        num_stages=len(run.search.stages) if run.search.is_staged else 0,
        last_report=_last_heard_of(run),
        size=size_of(run.folder.path),
        race=race,
    )


def best_of(run: RunReading) -> tuple[StageReading, TrialRecord] | None:
    """The best trial by the first objective, of the last stage that has one; and that stage."""
    for stage in reversed(run.stages):
        record = best_record(stage.records, run.search.objective.mode)
        if record is not None:
            return stage, record
    return None


def _last_heard_of(run: RunReading) -> float | None:
    """When a job of its trials was last heard of, also of those of its race."""
    records = [record for stage in run.stages for record in stage.records]
    race = RunFolder(run.folder.confirm_path).journal
    if race.is_file():
        records += read_study(race).records
    heard_of = [record.jobs[-1].heard_of for record in records if record.jobs]
    return max(heard_of, default=None) or _last_report(run.folder)


def _last_report(folder: RunFolder) -> float | None:
    """When a journal of the run was last written, also that of its race."""
    journals = [folder.journal, *(stage.journal for stage in folder.stages())]
    journals.append(RunFolder(folder.confirm_path).journal)
    return max((file.stat().st_mtime for file in journals if file.is_file()), default=None)
