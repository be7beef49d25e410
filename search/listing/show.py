"""`tune-search show`: one run with its trials, or one trial with its curve, jobs and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from search.errors import RefusedError, SearchError
from search.listing.jobs import Job, jobs_of
from search.listing.reading import RunReading, StageReading, read_run
from search.listing.rows import TrialRow, failures_of, rows_of
from search.listing.runs import ListedRun, described, iso, unreadable
from search.listing.state import LIVING
from search.run.disk.folder import RunFolder
from search.run.disk.heartbeat import heard_in
from search.schedulers.rung_table import RungTable
from search.study.trial import NO_VERDICT, TrialRecord
from search.text import short_path
from trainables.checkpoints.checkpoint import (
    DamagedCheckpointError,
    checkpoint_folder,
    list_checkpoints,
    list_damaged,
    read_checkpoint,
)
from trainables.files import folder_bytes
from trainables.process.failure import TRACE_FILE, Failure

_EVENTS = "events.out.tfevents.*"


@dataclass(frozen=True, kw_only=True)
class ShownStage:
    """One search of a run and its trials."""

    name: str
    """Empty where the run has no stages."""
    metric: str
    names: list[str]
    """Of its parameters, in the order of its space."""
    objectives: list[str]
    """Of several objectives, their metrics."""
    rows: list[TrialRow]
    """The best first."""
    failures: dict[str, list[int | str]]
    """By cause, the trials that ended so."""

    @property
    def best(self) -> TrialRow | None:
        return next((row for row in self.rows if row.rank == 1), None)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "best": None if self.best is None else self.best.trial,
            "front": [row.trial for row in self.rows if row.on_front],
            "failures": [{"cause": cause, "trials": trials} for cause, trials in self.failures.items()],
            "trials": [row.as_dict() for row in self.rows],
        }


@dataclass(frozen=True, kw_only=True)
class ShownRun:
    """A run with its trials; `run` is what `list` shows of it."""

    run: ListedRun
    stages: list[ShownStage] = field(default_factory=list)
    """Those that have begun, in their order; one without a name where there are none."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values under the keys that docs/list.md documents."""
        race = self.run.race
        return {
            "run": self.run.as_dict(),
            "stages": [stage.as_dict() for stage in self.stages],
            "race": None if race is None else asdict(race),
        }


@dataclass(frozen=True)
class ReachedRung:
    """A rung at which a trial was compared."""

    rung: int
    """In units of the scheduler's axis."""
    virtual_epoch: int
    """Whose report reached it."""
    value: float
    """The best objective up to there, by which trials are compared."""
    rank: int | None
    """Among all that it is compared with and that have reached it by now, from 1. None of a trial that takes
    no part in that, as one that failed or is let through, and where there are several objectives."""
    of: int | None
    """Number of those."""


@dataclass(frozen=True)
class KeptCheckpoint:
    """A checkpoint on disk."""

    virtual_epoch: int | None
    """None of one that was set aside as damaged."""
    name: str
    num_bytes: int
    damage: str
    """Empty if its files have the hashes of its manifest, and if that could not be found out."""
    unread: str = ""
    """Why it could not be found out: another version wrote it, or the rights to read it are missing."""


@dataclass(frozen=True, kw_only=True)
class ShownTrial:
    """One trial."""

    run: ListedRun
    stage: StageReading
    row: TrialRow
    of: int
    """Trials that have a rank."""
    rungs: list[ReachedRung]
    axis: str
    """What rungs count, such as `virtual_epochs`."""
    jobs: list[Job]
    failures: list[Failure]
    checkpoints: list[KeptCheckpoint]
    folder: Path
    log: Path
    """What all trials print; it is there once one has."""
    events: list[Path]
    """TensorBoard's files."""
    trace: Path | None
    """Where tracebacks are, if an attempt has failed."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values under the keys that docs/list.md documents."""
        record = self.row.record
        return {
            **self.row.as_dict(),
            "run": self.run.as_dict(),
            "of": self.of,
            "values": list(record.values),
            "steps": record.steps,
            "samples": record.samples,
            "seconds": record.seconds,
            "measured": dict(record.measured),
            "axis": self.axis,
            "rungs": [asdict(rung) for rung in self.rungs],
            "jobs": [{**job.as_dict(), "at": None if job.at is None else iso(job.at)} for job in self.jobs],
            "failures": [
                {
                    "kind": each.kind.value,
                    "cause": each.cause,
                    "host": each.host,
                    "virtual_epochs": each.depth,
                }
                for each in self.failures
            ],
            "checkpoints": [asdict(each) for each in self.checkpoints],
            "folder": str(self.folder),
            "log": str(self.log),
            "tensorboard": [str(file) for file in self.events],
            "error_file": None if self.trace is None else str(self.trace),
        }


def show(
    run: str | Path,
    trial: int | str | None = None,
    *,
    phase: Callable[[str], None] = lambda text: None,
) -> ShownRun | ShownTrial:
    """A run, or one of its trials, while it runs or afterwards. Nothing is locked or written.

    >>> search.show("results/seg").stages[0].best.params
    >>> search.show("results/seg", trial=7).as_dict()["values"]

    Args:
        run: its folder.
        trial: number of a trial; of a run in stages `1-optimizer/7`.
        phase: called with a line on what takes long.

    Raises:
        SearchError: there is no such run or trial, or, with `trial`, the run cannot be read.
    """
    folder = RunFolder.at(run)
    folder.require_begun()
    heard = heard_in(folder.owner_file, phase)
    phase("reading the study")
    name = folder.path.name
    try:
        reading = read_run(folder)
        listed = described(reading, name, heard)
    except (SearchError, OSError) as error:
        if trial is not None:
            raise
        return ShownRun(run=unreadable(folder, name, heard, error))
    is_running = listed.state.state in LIVING
    if trial is None:
        return ShownRun(run=listed, stages=[_shown(stage, is_running) for stage in reading.stages])
    return _shown_trial(listed, *_found(reading, trial), is_running=is_running, phase=phase)


def _shown(stage: StageReading, is_running: bool) -> ShownStage:
    config = stage.config
    return ShownStage(
        name=stage.name,
        metric=config.objective.metric,
        names=list(config.space.names),
        objectives=[each.metric for each in config.objectives or ()],
        rows=rows_of(stage, is_running=is_running),
        failures=failures_of(stage),
    )


def _found(run: RunReading, trial: int | str) -> tuple[StageReading, int]:
    """The stage and the number of a trial by its name.

    Raises:
        RefusedError: there is none.
    """
    of_stage, _, number = str(trial).rpartition("/")
    stages = [stage for stage in run.stages if stage.name == of_stage]
    if stages and number.isdecimal() and int(number) < len(stages[0].records):
        return stages[0], int(number)
    there = " and ".join(
        f"{stage.name_of(stage.records[0])} to {stage.name_of(stage.records[-1])}"
        for stage in run.stages
        if stage.records
    )
    raise RefusedError(
        f"received --trial {trial}; {short_path(run.folder.path)} has "
        f"{f'the trials {there}' if there else 'no trial yet'}"
    )


def _shown_trial(
    listed: ListedRun,
    stage: StageReading,
    number: int,
    *,
    is_running: bool,
    phase: Callable[[str], None],
) -> ShownTrial:
    rows = rows_of(stage, is_running=is_running)
    row = next(row for row in rows if row.record.number == number)
    folder = stage.folder.trial(number)
    trace = folder / TRACE_FILE
    return ShownTrial(
        run=listed,
        stage=stage,
        row=row,
        of=sum(other.rank is not None for other in rows),
        rungs=rungs_of(stage, row.record),
        axis=stage.scheduler.rungs.axis,
        jobs=jobs_of(stage, row.record, row.state),
        failures=list(row.record.failures),
        checkpoints=_checkpoints(folder, phase),
        folder=folder,
        log=RunFolder(stage.folder.run_path).log,
        events=sorted(folder.glob(_EVENTS)),
        trace=trace if trace.is_file() else None,
    )


def rungs_of(stage: StageReading, record: TrialRecord) -> list[ReachedRung]:
    """The rungs below full length that a trial has reached."""
    rungs, mode = stage.scheduler.rungs_of(record.number), stage.config.objective.mode
    before_full = min(record.depth, stage.config.budget.max_virtual_epochs - 1)
    is_ranked = not (
        stage.config.objectives or record.audited or record.of_other_data or record.outcome in NO_VERDICT
    )
    rivals = partial(stage.scheduler.is_rival, record.number)
    table = RungTable(stage.records if is_ranked else (), rungs, mode, rivals)
    found = []
    for index in range(1, rungs.index(record, before_full) + 1):
        value, depth = rungs.value_at(record, index, mode), rungs.depth_at(record, index)
        assert value is not None
        assert depth is not None
        amount = rungs.grace_period * rungs.reduction_factor ** (index - 1)
        rank = table.rank(record, index) + 1 if is_ranked else None
        found.append(ReachedRung(amount, depth, value, rank, table.num_ranked(index) if is_ranked else None))
    return found


def _checkpoints(folder: Path, phase: Callable[[str], None]) -> list[KeptCheckpoint]:
    """Those of a trial, each compared with its hashes; one that the search removes meanwhile is left out."""
    found = []
    for virtual_epoch in list_checkpoints(folder):
        path = checkpoint_folder(folder, virtual_epoch)
        phase(f"verifying {path.name}")
        damage = unread = ""
        try:
            read_checkpoint(folder, virtual_epoch)
        except DamagedCheckpointError as error:
            damage = error.reason
        except (ValueError, OSError) as error:
            unread = str(error)
        if path.is_dir():
            found.append(KeptCheckpoint(virtual_epoch, path.name, folder_bytes(path), damage, unread))
    aside = [
        KeptCheckpoint(None, path.name, folder_bytes(path), "set aside") for path in list_damaged(folder)
    ]
    return [*found, *aside]
