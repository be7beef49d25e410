"""The thin adapter from Ray's Trainable to our trial session: one `step()` is one virtual epoch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from trainables.build import load_arrays
from trainables.process.environment import conceal_output, expand
from trainables.process.failure import (
    Failure,
    FailureKind,
    TrialError,
    failure_note,
    recorded_failure,
    take_failure,
)
from trainables.process.process_state import ProcessState
from trainables.process.random_state import clean_process
from trainables.process.watchdog import Watchdog
from trainables.session import TrialPlan, TrialSession, data_key, load_task_class


class TrialTrainable(tune.Trainable):
    """Runs trials one after another in one process.

    Checkpoints are the session's own, in the trial's folder; those of Ray are empty.
    """

    def setup(
        self, config: dict[str, Any], shared: Mapping[str, Mapping[str, np.ndarray]] | None = None
    ) -> None:
        self._shared = dict(shared or {})
        self._session: TrialSession | None = None
        self._watchdog = Watchdog()
        self._clean: ProcessState | None = None
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._end()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        session = self._session
        assert session is not None
        with self._guarded(session):
            report = session.next_report()
            lengths = session.trainer.virtual_epochs.as_dict()
            return {**report, "lengths": lengths, "process": os.getpid(), "saved": session.saved}

    def cleanup(self) -> None:
        self._end()
        self._watchdog.close()

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Called when a job of the trial ends, before another process may go on with it."""
        if self._session is not None:
            with self._guarded(self._session):
                self._session.save()

    def load_checkpoint(self, checkpoint: Any) -> None:
        return None

    @contextmanager
    def _guarded(self, session: TrialSession) -> Iterator[None]:
        """What is inside may take as long as a virtual epoch may; what it fails of is recorded."""
        folder, timeout = Path(session.plan.folder), session.plan.timeout
        note, text = failure_note(folder, _too_long(session))
        with recorded_failure(folder, lambda: session.where), self._watchdog.limit(timeout, note, text):
            yield

    def _begin(self, config: dict[str, Any]) -> None:
        plan = TrialPlan(**config["plan"])
        conceal_output()
        take_failure(Path(plan.folder))  # of an earlier attempt that nobody was there to read
        with recorded_failure(Path(plan.folder)):
            self._clean_up(plan)
            self._session = TrialSession(plan, self._arrays(plan))

    def _clean_up(self, plan: TrialPlan) -> None:
        """Make this process what it was before its first trial."""
        os.chdir(plan.working_folder)
        if plan.working_folder not in sys.path:
            sys.path.insert(0, plan.working_folder)
        # What a task does when it is imported it does for all trials of a process.
        load_task_class(plan.task)
        if self._clean is None:
            self._clean = ProcessState()
        self._clean.restore()

    def _arrays(self, plan: TrialPlan) -> Mapping[str, np.ndarray]:
        """The shared data of this plan's `data` section, loaded here only where nobody shares it."""
        key = data_key(plan.task, plan.options)
        if key not in self._shared:
            task_class = load_task_class(plan.task)
            clean_process()
            options = task_class.Options.model_validate(expand(plan.options))
            self._shared = {key: load_arrays(task_class, options, plan.prepared_file)}
        return self._shared[key]

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        folder = Path(session.plan.folder)
        try:
            with recorded_failure(folder):
                session.close()
        except TrialError:
            # What it had reported is told. The trial that comes next here is not to blame.
            take_failure(folder)


def _too_long(session: TrialSession) -> Failure:
    limit = session.plan.timeout
    cause = f"a virtual epoch took more than {round(limit, 1):g} s, begun at {session.where}" if limit else ""
    return Failure(FailureKind.HUNG, cause)
