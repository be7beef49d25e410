"""Runs one stage: shares the data, hands the coordinator to an executor, and sums up."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from search.config.combinations import NOTHING_TO_LEARN
from search.config.config import Config
from search.config.objectives import window_of
from search.config.schema import Pbt
from search.config.stages import open_run
from search.errors import RefusedError
from search.fidelity.audit import audit
from search.mirror.mirror import Mirror
from search.run.before.changes import check_config, keeping_trials, record_config, refuse_other_problem
from search.run.before.first_try import try_imported
from search.run.before.provenance import record_provenance, task_source, working_folder
from search.run.before.several_processes import refuse_unshareable
from search.run.coordinator import Coordinator
from search.run.data.record import DataChangedError, compared, find_data, read_data, take_data
from search.run.data.shared import load_shared_data
from search.run.disk.folder import RunFolder, is_of_full_disk, write_json
from search.run.disk.storage import LiveTrials, live_trials
from search.run.events import Event, EventKind
from search.run.executor import Executor, Jobs
from search.run.limits import all_over
from search.run.outcome.summary import NO_VALUE, Status, Summary, config_digest, end_reason, summarize
from search.run.reporter import ProgressReporter
from search.run.retention import CheckpointRetention
from search.run.signals import heard_signals
from search.run.sudden_end import SuddenEnd
from search.samplers.build import sampler_of
from search.samplers.first_try import try_sampler
from search.schedulers.build import build_scheduler
from search.schedulers.warmup import early_rung_note
from search.study.journal import JournalWriteError, OvertakenError, drop_half_line
from search.study.reading import read_records
from search.study.study import SearchStudy
from trainables.checkpoints.checkpoint import list_checkpoints
from trainables.data.fingerprint import Fingerprint
from trainables.files import atomic_file
from trainables.task import Arrays

log = logging.getLogger(__name__)


@contextmanager
def owned(folder: RunFolder, reporter: ProgressReporter) -> Iterator[None]:
    """Be the only search in the folder, in the working folder where it was started.

    Raises:
        SearchError: another search runs there, or the disk becomes full.
    """
    with folder.needs_space(), folder.owned(reporter.phase) as previous_owner, working_folder(folder):
        if previous_owner:
            reporter.phase(f"taking over from a search that has died ({previous_owner})")
        yield


def run_in_folder(
    config: Config,
    folder: RunFolder,
    executor: Executor,
    reporter: ProgressReporter,
    *,
    name: str,
    growing: bool = False,
    accept_new_data: bool = False,
    retry_failed: bool = False,
    older: RunFolder | None = None,
    later: Sequence[Config] = (),
    mirror: Mirror | None = None,
    loaded: Callable[[Config, Mapping[str, Arrays]], None] = lambda config, shared: None,
) -> Summary:
    """One search in its folder, see `search` and `resume`.

    Args:
        name: shown for the configuration's, which is not that of the run where `--name` gave another one.
        later: configurations of the stages that follow.
        mirror: of the run, where it has a storage.
        loaded: called with the shared data before the first trial; may refuse them.
    """
    folder.create()
    notes: list[str] = []
    with owned(folder, reporter):
        config = keeping_trials(config, folder, notes.append)
        check_config(config, folder, growing=growing, flags=executor.flags)
        reporter.phase(f"task {config.task_path} in {task_source(config)['file']}")
        reporter.phase("loading data")
        found = find_data(config, load=True)
        data = take_data(
            config,
            folder,
            found.fingerprint,
            accept=accept_new_data,
            note=notes.append,
            flags=executor.flags,
        )
        record_config(config, folder, growing=growing, flags=executor.flags)
        if older is not None:
            _take_history(config, folder, older, found.fingerprint, accept_new_data)
        notes += _notes(config, record_provenance(config, folder, found.fingerprint))
        shared = load_shared_data(config, folder, found.arrays, notes)
        loaded(config, shared)
        try_sampler(config.sampler, config.space, config.sampler_where)
        refuse_unshareable(config, shared)
        try_imported(config, shared, reporter.phase)
        stored = live_trials(mirror, folder)

        def begin(concurrency: int) -> Coordinator:
            how: dict[str, Any] = {"data": data, "retry_failed": retry_failed, "stored": stored}
            coordinator = build_coordinator(config, folder, concurrency, **how)
            if coordinator.is_fruitless:
                notes.append("no trial had a value, and failed ones are tried again")
            return coordinator

        told: dict[str, Any] = {"note": reporter.note, "phase": reporter.phase, "stored": stored}
        jobs = Jobs(config=config, folder=folder, shared=shared, later=later, **told)
        return run_jobs(jobs, executor, reporter, begin, config.model_copy(update={"name": name}), notes)


def run_jobs(
    jobs: Jobs,
    executor: Executor,
    reporter: ProgressReporter,
    begin: Callable[[int], Coordinator],
    shown: Config,
    notes: Sequence[str],
) -> Summary:
    """Run the jobs of a coordinator in a folder that is owned, until it has none, and sum up.

    Args:
        begin: makes the coordinator, for so many jobs at once.
        shown: the configuration that the reporter is given.
        notes: what a person should read first.
    """
    config, folder = jobs.config, jobs.folder
    if executor.phase:
        reporter.phase(executor.phase)
    executor.wait_until_ready()
    end = SuddenEnd(folder, reporter, executor.flags, executor.after_death)
    executor.on_death(end.tell, end.leave)
    executor.prepare(jobs)
    for later in jobs.later:
        executor.check_fits(later)
    coordinator = begin(executor.concurrency(config))
    if sizes := executor.sizes_text(config):
        notes = [f"trials differ in what they take; at once there are up to {sizes}", *notes]
    coordinator.recover()
    if jobs.stored is not None:
        reporter.phase(f"mirroring to {jobs.stored.mirror.store.address}")
        jobs.stored.begin()
    try:
        # Before anything says that the search has begun: Ctrl-C winds it down from there on.
        with heard_signals(lambda number: _wind_down(coordinator, reporter, number)) as received:
            end.signals = received
            reporter.begin(coordinator, shown, folder)
            for text in notes:
                reporter.note(text)
            retention = watch(coordinator, config, folder, reporter, jobs.stored)
            executor.run(coordinator, jobs)
            return _finish(config, folder, coordinator, retention, received, jobs.stored)
    except BaseException as error:
        # Who interrupts again does not wait; and with these errors the same command would not go on.
        has_own_way_out = isinstance(error, JournalWriteError) or is_of_full_disk(error)
        death = executor.death() if isinstance(error, Exception) and not has_own_way_out else ""
        executor.close()  # no trial writes into the folder any more when it is free again
        if death:
            raise end.error(death) from error
        raise
    finally:
        reporter.end()
        if not isinstance(coordinator.broken, OvertakenError):
            shutil.rmtree(folder.scratch, ignore_errors=True)


def _notes(config: Config, changes: Sequence[str]) -> Iterator[str]:
    """What a person should know before the first trial."""
    yield from (f"since this search was last run: {change}" for change in changes)
    trials = config.budget.trials
    if not config.space.names and trials != 1:
        of_all = "all trials" if trials is None else f"all {trials} trials"
        yield f"nothing is searched: {of_all} have the same values"
    if early := early_rung_note(config, build_scheduler(config)):
        yield early


def _take_history(
    config: Config, folder: RunFolder, older: RunFolder, data: Fingerprint, accept_new_data: bool
) -> None:
    """Copy the study of an older run, which is then not needed any more."""
    if folder.history.exists():
        return
    if folder.journal.exists():
        raise RefusedError(
            f"{folder.path} has begun without the trials of {older.path}; take another --name to use them"
        )
    older.require()
    if older.is_staged:
        raise RefusedError(f"{older.path} is a search in stages; name one of them, in {older.stages_path}")
    before_run = open_run(older.config)
    refuse_other_problem(config, before_run)
    if isinstance(before_run.first.scheduler, Pbt):
        raise RefusedError(f"{older.path} {NOTHING_TO_LEARN}")
    before = read_data(older.data)
    changes = compared(before, data).lines() if before else []
    if changes and not accept_new_data:
        raise DataChangedError(
            f"the data have changed since {older.path} was last run ({'; '.join(changes)}): its values are "
            "of other data; leave out --from-run, or learn from them all the same with --accept-new-data"
        )
    with atomic_file(folder.history) as partial:
        shutil.copyfile(older.journal, partial)
        drop_half_line(partial)


def build_coordinator(
    config: Config,
    folder: RunFolder,
    concurrency: int,
    *,
    data: str = "",
    retry_failed: bool = False,
    stored: LiveTrials | None = None,
    watch: Callable[[Event], None] = lambda event: None,
    clock: Callable[[], float] = time.monotonic,
) -> Coordinator:
    """The coordinator of a search with its study on disk, which is created if there is none."""
    scheduler = build_scheduler(config)
    study = SearchStudy(
        folder.journal,
        name=config.name,
        mode=config.objective.mode,
        space=config.space,
        sampler=lambda study: sampler_of(study, scheduler, config),
        history=read_records(folder.history) if folder.history.exists() else [],
        data=data,
        window=window_of(config),
        claim=True,
    )
    study.keep_at_most(config.checkpoint.keep_trials)
    return Coordinator(
        study,
        scheduler,
        config,
        concurrency=concurrency,
        can_go_on=lambda record: (
            bool(list_checkpoints(folder.trial(record.number)))
            or (stored is not None and stored.newest(record.number)[0] > 0)
        ),
        retry_failed=retry_failed,
        watch=watch,
        clock=clock,
    )


def watch(
    coordinator: Coordinator,
    config: Config,
    folder: RunFolder,
    reporter: ProgressReporter,
    stored: LiveTrials | None = None,
) -> CheckpointRetention:
    """Pass every event to the reporter and to the retention of checkpoints; a mirror that cannot be written
    any more ends the search."""
    retention = CheckpointRetention(coordinator, config, folder, reporter.note, stored)

    def follow(event: Event) -> None:
        if event.kind is EventKind.MESSAGE:
            log.warning("trial %d: %s", event.record.number, event.text)
        reporter.event(event)
        retention.event(event)
        if stored is not None and stored.mirror.broken is not None:
            coordinator.on_broken(stored.mirror.broken)

    coordinator.watch = follow
    return retention


def _finish(
    config: Config,
    folder: RunFolder,
    coordinator: Coordinator,
    retention: CheckpointRetention,
    received: Sequence[int],
    stored: LiveTrials | None = None,
) -> Summary:
    if isinstance(coordinator.broken, OvertakenError):
        raise coordinator.broken
    status: Status = "complete"
    of_first = f" by {config.objective.metric}" if config.objectives else ""
    reason = end_reason(coordinator, f"the best trial{of_first}")
    if coordinator.gave_up:
        status = "failed"
    elif received:
        status = "terminated" if received[0] == signal.SIGTERM else "interrupted"
    elif coordinator.best is None:
        why = all_over(coordinator.study.records, config.limits) or reason
        status, reason = "failed", f"{NO_VALUE}; {why}"
    coordinator.close(resumable=status != "complete")
    retention.close()
    if stored is not None and coordinator.best is not None:
        stored.bring(coordinator.best.number, coordinator.best.best_virtual_epoch(config.objective.mode))
    summary = summarize(coordinator, folder, config.objective.metric, status, reason, config.objectives or ())
    summary = dataclasses.replace(
        summary, of_config=config_digest(config), sessions=coordinator.study.session
    )
    if config.objectives is None:
        audited = audit(coordinator.study.records, coordinator.scheduler.rungs, config)
        summary = dataclasses.replace(summary, audit=audited)
    # The study holds all of it too, and a full disk must not hide the summary.
    with suppress(OSError):
        write_json(folder.summary, summary.as_dict())
    return summary


def _wind_down(coordinator: Coordinator, reporter: ProgressReporter, number: int) -> None:
    coordinator.end("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
    # The signal may have interrupted a print, which is not reentrant.
    with suppress(RuntimeError):
        reporter.note("finishing and saving the running virtual epochs; signal again to leave at once")
