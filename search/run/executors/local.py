"""Runs jobs in this process, one after another, without Ray: for debuggers, notebooks and tests."""

from __future__ import annotations

from bdb import BdbQuit
from dataclasses import replace
from pathlib import Path

import torch

from search.config.config import Config
from search.errors import RefusedError
from search.ray.hosts import Host
from search.run.before.fit import concurrent_trials
from search.run.coordinator import Coordinator
from search.run.executor import Executor, Jobs
from trainables.process.cores import num_cores
from trainables.process.failure import Failure, FailureKind, TrialError, take_failure
from trainables.session import TrialPlan
from trainables.workers.worker import TrialWorker


class LocalExecutor(Executor):
    """Each trial begins as in a new process, see `TrialWorker`. A virtual epoch may take any time.

    Leaving the debugger with `quit` ends the search at once, as a second Ctrl-C does.
    """

    flags = ("--local",)

    def concurrency(self, config: Config) -> int:
        """One, if this machine has what a trial asks for.

        Raises:
            RefusedError: it has not, or a trial is several processes.
        """
        if (workers := config.resources.most_workers) > 1:
            raise RefusedError(
                f"resources.workers_per_trial is {workers}, and --local runs every trial in this process; "
                "leave out --local, or give --set resources.workers_per_trial=1"
            )
        available = {"CPU": float(num_cores()), "GPU": float(torch.cuda.device_count())}
        # Whatever kind its GPU is: it has no other.
        return min(1, concurrent_trials(config.resources.of_any_kind, [Host(available)]))

    def run(self, coordinator: Coordinator, jobs: Jobs) -> None:
        worker = TrialWorker(jobs.shared)
        with worker.surroundings_kept():
            while isinstance(plan := jobs.next_plan(coordinator), TrialPlan):
                try:
                    _run_job(worker, plan, coordinator)
                except BdbQuit:
                    raise KeyboardInterrupt from None


def _run_job(worker: TrialWorker, plan: TrialPlan, coordinator: Coordinator) -> None:
    try:
        started = worker.begin(replace(plan, timeout=None))
        while coordinator.on_report(plan.number, worker.next_report(), started.lengths):
            pass
        worker.save()
    except TrialError as error:
        # The disk may have had no room for the note.
        failure = take_failure(Path(plan.folder), plan.job) or Failure(FailureKind.ERROR, str(error))
        coordinator.on_lost(plan.number, failure)
    worker.end()
