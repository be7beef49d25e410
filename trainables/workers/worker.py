"""Runs jobs of trials one after another in one process, each as if in a fresh process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from trainables.build import load_arrays
from trainables.data.prepared import data_key
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.fence import become_newest, require_newest
from trainables.process.failure import (
    TrialError,
    discard_older_notes,
    recorded_failure,
    take_failure,
    traced_if_it_hangs,
)
from trainables.process.gpu_share import why_no_gpu
from trainables.process.process_state import ProcessState, RandomStates, clean_process
from trainables.ranks.team import Team
from trainables.session import Record, TrialPlan, TrialSession, load_task_class


@dataclass(frozen=True)
class Started:
    """What a worker reports once its trial is ready to be trained."""

    step: int
    """Optimizer steps the trial has taken."""
    lengths: VirtualEpochs


class TrialWorker:
    """Runs jobs: `begin`, `next_report` for each virtual epoch, `save` where the job pauses, `end`.

    A failure is recorded in the trial's folder and raised as a TrialError.

    Args:
        shared: decoded data by its key, see `data_key`; other data are loaded here.
        alone: this process has only trials, see `recorded_failure`.
        team: the other processes of each trial.
    """

    def __init__(
        self,
        shared: Mapping[str, Mapping[str, np.ndarray]] | None = None,
        *,
        alone: bool = False,
        team: Team | None = None,
    ) -> None:
        self._team = team
        self._shared = dict(shared or {})
        self._alone = alone
        self._session: TrialSession | None = None
        self._clean: ProcessState | None = None

    @property
    def session(self) -> TrialSession:
        """The trial of the present job."""
        assert self._session is not None
        return self._session

    def begin(self, plan: TrialPlan) -> Started:
        """Begin a job from the trial's newest checkpoint; the job before it has ended."""
        self.end()
        folder = Path(plan.folder)
        with recorded_failure(folder, alone=self._alone, job=plan.job):
            folder.mkdir(parents=True, exist_ok=True)
            become_newest(folder, plan.job)
            take_failure(folder, plan.job)  # left by an earlier attempt that nobody read
            discard_older_notes(folder, plan.job)
            self.clean_up(plan)
            if self._team is not None:
                self._team.begin(plan.as_dict())
            self._session = TrialSession(plan, self.arrays(plan), self._team)
        trainer = self.session.trainer
        if plan.gpu_fraction > 0 and trainer.device.type == "cpu":
            share = f"gpus_per_trial is {plan.gpu_fraction:g}"
            self.session.note(f"{share}, and the trial is trained on the CPU: {why_no_gpu()}")
        return Started(step=trainer.counters.num_steps, lengths=trainer.virtual_epochs)

    def next_report(self) -> Record:
        """The record of the trial's next virtual epoch, the process, and whether a checkpoint holds it."""
        with self._guarded():
            report = self.session.next_report()
            return {**report, "process": os.getpid(), "saved": self.session.saved}

    def save(self) -> None:
        """Write what has no checkpoint yet, before another process may continue the trial."""
        if self._session is not None:
            with self._guarded():
                self.session.save()

    def end(self) -> None:
        """Close the trial, if there is one."""
        session, self._session = self._session, None
        if session is None:
            return
        folder, job = Path(session.plan.folder), session.plan.job
        try:
            with recorded_failure(folder, alone=self._alone, job=job):
                session.close()
        except TrialError:
            # Its reports are recorded, and the next trial here is not to blame.
            take_failure(folder, job)

    @contextmanager
    def surroundings_kept(self) -> Iterator[None]:
        """On leaving, end the present job and restore the process to its state before the first one."""
        states, state = RandomStates(), ProcessState()
        before, num_threads = states.state_dict(), torch.get_num_threads()
        folder, path = Path.cwd(), list(sys.path)
        try:
            yield
        finally:
            self.end()
            clean_process()
            state.restore()
            states.load_state_dict(before)
            torch.set_num_threads(num_threads)
            os.chdir(folder)
            sys.path[:] = path

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        session = self.session
        folder, job = Path(session.plan.folder), session.plan.job
        with recorded_failure(folder, lambda: session.where, alone=self._alone, job=job):
            require_newest(folder, job)
            with traced_if_it_hangs(folder, session.plan.timeout, job):
                yield

    def clean_up(self, plan: TrialPlan) -> None:
        """Restore this process to its state before its first trial."""
        os.chdir(plan.working_folder)
        # After the installed packages: a file of the user's may be named like one of them.
        own = [folder for folder in (plan.working_folder, *plan.search_path) if folder not in sys.path]
        sys.path.extend(own)
        # What a task changes when it is imported holds for all trials of a process.
        load_task_class(plan.task)
        if self._clean is None:
            self._clean = ProcessState()
        self._clean.restore()

    def arrays(self, plan: TrialPlan) -> Mapping[str, np.ndarray]:
        """The shared data of this plan's `data` section, loaded here only if not shared by the search."""
        key = data_key(plan.task, plan.options)
        if key not in self._shared:
            task_class = load_task_class(plan.task)
            clean_process()
            options = task_class.Options.parse(plan.options)
            self._shared = {key: load_arrays(task_class, options, plan.prepared_file)}
        return self._shared[key]
