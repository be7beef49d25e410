"""Where the jobs of a search run: the interface that the coordinator's executors share."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from search.config.config import Config
from search.config.document import write_yaml
from search.config.objectives import measured_names, reported
from search.config.schema import Pbt
from search.ray.hosts import Host
from search.run.coordinator import Coordinator
from search.run.disk.folder import RunFolder
from search.run.disk.storage import LiveTrials
from search.run.events import Turn
from search.study.journal import NOTHING_TO_DO, JournalWriteError, OvertakenError
from search.study.lineage import Segment, schedule_of
from search.study.study import SearchStudy
from search.study.trial import TrialRecord
from trainables.checkpoints.checkpoint import list_checkpoints
from trainables.checkpoints.origin import keep_origin
from trainables.checkpoints.stored import OWN_FILE
from trainables.fence import Job, SupersededError, become_newest, newest_job
from trainables.process.causes import is_installed
from trainables.session import TrialPlan
from trainables.storage.errors import StorageError

Note = Callable[[str], None]
"""Called with a line that a person should read."""


def _nobody_reads(text: str) -> None:
    """Where nobody reads notes."""


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """What an executor needs to run the jobs of one search."""

    config: Config
    folder: RunFolder
    shared: Mapping[str, Mapping[str, np.ndarray]]
    """Decoded data by its key, for all trials."""
    note: Note = _nobody_reads
    phase: Note = _nobody_reads
    """Called with what is waited for."""
    later: Sequence[Config] = ()
    """Of the stages that follow, whose trials have to fit too."""
    stored: LiveTrials | None = None
    """The trials' checkpoints in a storage, where the search has one."""

    def next_plan(self, coordinator: Coordinator) -> TrialPlan | Turn:
        """What a free worker runs next, its trial's folder made; or what it does without a job."""
        record = coordinator.next_job()
        if isinstance(record, Turn):
            return record
        try:
            schedule = schedule_of(coordinator.study.records, record, record.depth + 1)[:-1]
            plan = trial_plan(self.config, self.folder, record, coordinator.timeout, schedule)
            folder = Path(plan.folder)
            known, there = newest_job(folder), 0
            if self.stored is not None:
                there, job = self.stored.newest(record.number)
                known = max(known, job)
                plan = replace(plan, storage=self.stored.address(record.number))
            plan = replace(plan, job=self._begin_job(coordinator.study, record, known))
            goes_on_elsewhere = bool(schedule) and schedule[-1].until == record.depth
            folder.mkdir(parents=True, exist_ok=True)
            become_newest(folder, plan.job)  # before the process begins: from now on no other one writes here
            if goes_on_elsewhere:
                keep_origin(folder, self.folder.trial(schedule[-1].trial), record.depth)
            elif record.depth:
                expected = expected_checkpoint(folder, record, coordinator.study, there)
                plan = replace(plan, checkpoint=expected)
            write_yaml(folder / OWN_FILE, {"trial": plan.number, "options": plan.options})
        except SupersededError as error:
            coordinator.on_broken(OvertakenError(f"{error}; {NOTHING_TO_DO}"))
            return Turn.DONE
        except (OSError, JournalWriteError, StorageError) as error:
            coordinator.on_broken(error)
            return Turn.DONE
        return plan

    def _begin_job(self, study: SearchStudy, record: TrialRecord, known: Job) -> Job:
        before = study.session
        job = study.begin_job(known)
        if study.session != before:
            self.note(
                f"trial {record.number} has had a job of session {job[0] - 1}, which its study does not "
                f"know, as one that was restored or cut: it goes on as session {job[0]}"
            )
        return job


def expected_checkpoint(folder: Path, record: TrialRecord, study: SearchStudy, stored: int = 0) -> int:
    """Virtual epoch of the newest checkpoint that the trial's next job must find; 0 if it may begin again.
    `stored` is that of the newest one in a storage.

    What is here must be there too. Of what was reported in this session something must be here, as a trial
    saves its first virtual epoch before it is reported; what an earlier one has left may have been removed.
    """
    here = max(*list_checkpoints(folder), 0, stored)
    return here or int(record.last_report > study.first_sequence)


def trial_plan(
    config: Config,
    folder: RunFolder,
    record: TrialRecord,
    timeout: float,
    schedule: Sequence[Segment] = (),
) -> TrialPlan:
    """What a process needs to run a trial's next job; `schedule` is what came before, see `TrialPlan`."""
    every = config.checkpoint.every
    if isinstance(config.scheduler, Pbt):
        # Where trials are compared there is a checkpoint before the report is known, for who goes on from it.
        every = math.gcd(every, config.scheduler.interval)
    resources = config.resources.of(record.resolved.options)
    return TrialPlan(
        number=record.number,
        folder=str(folder.trial(record.number)),
        task=config.task_path,
        options=record.resolved.options,
        unit=config.virtual_epoch.unit,
        count=config.virtual_epoch.count,
        num_virtual_epochs=config.budget.max_virtual_epochs,
        metric=config.objective.metric,
        mode=config.objective.mode,
        window=record.window,
        other_metrics=[objective.metric for objective in reported(config)[1:]],
        reported=record.depth,
        checkpoint_every=every,
        checkpoint_keep=config.checkpoint.keep,
        hparams={name: record.params.get(name) for name in config.space.names},
        num_threads=max(1, int(resources.of_worker.cpus_per_trial)),
        gpu_fraction=resources.of_worker.gpus_per_trial,
        workers=resources.workers_per_trial,
        prepared=str(folder.prepared),
        working_folder=str(Path.cwd()),
        search_path=own_search_path(),
        timeout=timeout,
        measures=() if record.measured or record.depth else measured_names(config),
        data_number=record.data_number,
        schedule=[segment._asdict() for segment in schedule],
    )


def own_search_path() -> list[str]:
    """The folders of this process's `sys.path` besides Python's own and those of installed packages."""
    folders = [Path(folder).absolute() for folder in sys.path]
    return [str(folder) for folder in folders if folder.is_dir() and not is_installed(folder)]


class Executor(ABC):
    """Runs jobs: asks the coordinator for them, passes on every report, and says when one was lost.

    After `wait_until_ready` it runs one search after another, until `close`. The coordinator is called in one
    thread, and a trial's next job begins only after the one before has saved its checkpoint.
    """

    phase = ""
    """What a person reads while `wait_until_ready` waits; empty where it does not."""
    flags: Sequence[str] = ()
    """Options of the command line that choose it, for commands that messages name."""

    after_death = "a signal to all processes and a lack of memory do that"
    """What a person should know when that which runs the jobs is dead: why it may be, or what to do."""

    elsewhere = False
    """Trials may run on other hosts, which see this one's current folder, but hardly its temporary ones."""

    def begin(self) -> None:  # noqa: B027  # optional
        """Start in the background what takes time to start."""

    def wait_until_ready(self) -> None:  # noqa: B027
        """Wait until jobs can be run."""

    def death(self) -> str:
        """What has become of that which runs the jobs, if it is dead; else empty."""
        return ""

    def on_death(self, tell: Callable[[str], None], leave: Callable[[str], None]) -> None:  # noqa: B027
        """What to do when it is dead, from `wait_until_ready` to `close`; `run` raises then, if it can.

        Args:
            tell: called with the cause at once, in another thread.
            leave: ends this process; called with the cause if nobody calls `close` within seconds, since a
                call may wait for an answer of the dead.
        """

    def close(self) -> None:  # noqa: B027
        """End what was started; may be called again."""

    def prepare(self, jobs: Jobs) -> None:  # noqa: B027
        """Wait until there are hosts for these jobs, before the first one is asked for.

        Raises:
            SearchError: one lacks what the jobs need.
        """

    @abstractmethod
    def concurrency(self, config: Config) -> int:
        """Jobs that run at once; `run` may change that of the coordinator as hosts join and leave.

        Raises:
            SearchError: not even one trial finds what it asks for.
        """

    def check_fits(self, config: Config) -> None:
        """See that trials of a later search find what they ask for, once there are hosts.

        Raises:
            RefusedError: those of some size find it nowhere.
        """
        self.concurrency(config)

    def hosts(self) -> Sequence[Host]:
        """Where trials run, as far as that is known."""
        return ()

    def sizes_text(self, config: Config) -> str:
        """How many trials of each size run at once, where not all take the same; else empty."""
        return ""

    @abstractmethod
    def run(self, coordinator: Coordinator, jobs: Jobs) -> None:
        """Run jobs until the coordinator has none; returns when the last one has ended."""
