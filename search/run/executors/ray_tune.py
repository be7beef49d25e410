"""Ray Tune's interfaces over the coordinator: Ray executes jobs, the coordinator decides.

Every job of a trial is a Ray trial of its own that begins from the trial's newest checkpoint. So pausing is
the end of a job, promotion and retrying are new jobs, and Ray has no paused trials, no retries and no state
that would have to be right.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.result import EXPR_ERROR_FILE
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.config.callables import MAIN, is_interactive
from search.errors import SearchError
from search.ray.patches import OUT_OF_MEMORY, forget, repair_tune, save_at_end
from search.run.coordinator import Coordinator
from search.run.events import Turn
from search.run.executor import Jobs
from search.run.executors.next_job import NextJob
from search.run.executors.placement import Placement
from search.run.executors.running import RunningJob, RunningJobs
from trainables.process.failure import (
    Failure,
    FailureKind,
    discard_hang_trace,
    take_failure,
)
from trainables.workers.trainable import RESULT, TrialTrainable

repair_tune()

_LONGEST_TICK = 1.0
"""Seconds: time in which this process, or the whole machine, stood still does not count as a trial's."""


def tuner_of(
    coordinator: Coordinator, jobs: Jobs, placement: Placement, death: Callable[[], str]
) -> tune.Tuner:
    """A Tuner whose `fit()` runs all jobs of a search, and raises when `death` says that Ray is dead."""
    running = RunningJobs()
    shared: dict[str, Any] = {"shared": dict(jobs.shared)}
    if jobs.config.resources.most_workers > 1:  # whose other processes get the same, and no copy
        shared = {"stored": [ray.put(dict(jobs.shared))]}
    trainable = tune.with_parameters(
        TrialTrainable, interactive=_interactive(jobs.config.task_path), **shared
    )
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(coordinator, jobs, placement, running),
            scheduler=StudyScheduler(coordinator, placement, running),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
            trial_name_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="jobs",
            storage_path=str(jobs.folder.scratch),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=True),
            callbacks=[HangWatch(running), DeathWatch(death), Forgetting()],
            verbose=0,
            progress_reporter=Unseen(),
        ),
    )


def _interactive(task: str) -> dict[str, Any]:
    """The training function or class by its name, if it is a notebook's: it can be imported nowhere else."""
    if not is_interactive(task):
        return {}
    name = task.partition(":")[2]
    return {name: getattr(sys.modules[MAIN], name)}


class _Stateless:
    """Ray pickles all of these for a restore that never comes; the study on disk is the state."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Unseen(_Stateless, tune.ProgressReporter):
    """Shows nothing: Tune's own would clear the cell of a notebook, whatever `verbose` is."""

    def setup(self, *positional: Any, **named: Any) -> None:
        """Nothing is shown."""

    def should_report(self, trials: list[Trial], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Trial], done: bool, *sys_info: Any) -> None:
        """Nothing is shown."""


class HangWatch(_Stateless, tune.Callback):
    """Ends the processes of jobs that hang; also one that is stopped, or whose machine is gone."""

    def __init__(self, running: RunningJobs) -> None:
        self._running = running
        self._now = time.monotonic()

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        before, self._now = self._now, time.monotonic()
        for job in self._running.values():
            job.tick(min(self._now - before, _LONGEST_TICK))


class DeathWatch(_Stateless, tune.Callback):
    """Ends the search when Ray is dead: Tune would go on as long as it needs no new process."""

    def __init__(self, death: Callable[[], str]) -> None:
        self._death = death

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        if death := self._death():
            raise SearchError(death)


class Forgetting(_Stateless, tune.Callback):
    """Has what Tune keeps of a job go with it: a search has as many as it likes."""

    def __init__(self) -> None:
        self._ended: list[Trial] = []

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended.append(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._ended.append(trial)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        for trial in self._ended:
            if trial.is_finished():
                forget(trial)
        self._ended = [trial for trial in self._ended if not trial.is_finished()]


class StudySearcher(_Stateless, Searcher):
    """Gives Ray the next job as a configuration."""

    def __init__(
        self, coordinator: Coordinator, jobs: Jobs, placement: Placement, running: RunningJobs
    ) -> None:
        super().__init__(metric=None, mode=None)
        self._coordinator, self._placement, self._running = coordinator, placement, running
        self._next = NextJob(coordinator, jobs, placement, running)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        # Here, as Tune calls nothing else while no trial runs.
        _look(self._placement, self._coordinator)
        job = self._next.job()
        if not isinstance(job, RunningJob):
            return Searcher.FINISHED if job is Turn.DONE else None
        self._running[trial_id] = job
        return {"plan": job.plan.as_dict(), "request": job.asks(self._placement)}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        self._running.pop(trial_id, None)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study on disk is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search is resumed from the study."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the study on disk is the state."""


class StudyScheduler(_Stateless, FIFOScheduler):
    """Passes reports and losses to the coordinator. Ray itself starts whatever is pending."""

    def __init__(self, coordinator: Coordinator, placement: Placement, running: RunningJobs) -> None:
        super().__init__()
        self._coordinator, self._placement, self._running = coordinator, placement, running

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if job := self._running.get(trial.trial_id):
            job.trial = trial

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        job, got = self._running.get(trial.trial_id), result[RESULT]
        if job is None:  # it has ended for Ray already
            return TrialScheduler.STOP
        if got.report is None:
            job.start(got)
        else:
            job.heard(got.report["step"])
            if not self._coordinator.on_report(job.plan.number, got.report, job.started.lengths):
                job.ends = True
                save_at_end(trial, needed=not got.report["saved"])
                return TrialScheduler.STOP
        has_trained = got.report is not None and "virtual_epoch" in got.report  # and has a checkpoint since
        gives_way = has_trained and self._running.makes_room(job, self._placement)
        if not (gives_way or self._placement.is_leaving(job.node)):
            return TrialScheduler.CONTINUE
        job.ends = True
        self._coordinator.cut_off(self._coordinator.study.records[job.plan.number])
        save_at_end(trial, needed=got.report is not None and not got.report["saved"])
        return TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        job = self._running.get(trial.trial_id)
        if job is None:
            return
        error_file = Path(trial.local_path or "") / EXPR_ERROR_FILE
        ray_error = error_file.read_text(encoding="utf-8") if error_file.is_file() else ""
        self.lose(job, ray_error)

    def lose(self, job: RunningJob, ray_error: str) -> None:
        """A job has ended without its last report, with what Ray says of it."""
        folder = Path(job.plan.folder)
        failure = take_failure(folder, job.plan.job) or job.failure or failure_in(ray_error)
        discard_hang_trace(folder, job.plan.job)
        host = self._placement.host_of(job.node or _address_in(ray_error))
        self._placement.lost(job.plan.number, host)
        if self._placement.is_leaving(host.node_id if host else job.node):
            failure = of_leaving_host(failure)
        self._coordinator.on_lost(job.plan.number, replace(failure, host=str(host or "")))

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """None, which leaves the choice to Ray; jobs that have no host any more end here."""
        if self._coordinator.ending is not None:  # the searcher is not asked any more
            _look(self._placement, self._coordinator)
        self._take_back(tune_controller)
        stuck = [name for name, job in self._running.items() if self._is_stuck(job)]
        for name in stuck:
            number = self._running[name].plan.number
            if self._coordinator.ending is not None:
                self._coordinator.cut_off(self._coordinator.study.records[number])
            else:
                failure = Failure(FailureKind.DIED, "the host that it was to start on was lost")
                self._coordinator.on_lost(number, failure)
            tune_controller.stop_trial(self._running[name].trial)
        return None

    def _take_back(self, tune_controller: Any) -> None:
        """Of jobs that wait in Ray, those of sizes whose last host was lost: there they would keep a slot."""
        placement = self._placement
        if not placement.sizes_differ or not placement.hosts:
            return
        pending = [job for job in self._running.values() if job.trial is not None and job.is_pending]
        for job in pending:
            if not placement.can_hold(job.size):
                self._coordinator.cut_off(self._coordinator.study.records[job.plan.number])
                tune_controller.stop_trial(job.trial)

    def _is_stuck(self, job: RunningJob) -> bool:
        """Whether a job that has not begun waits for a host where it may run, and there is none of those.

        Where there is none at all, one may join, unless the search is to end.
        """
        if job.trial is None or job.node:
            return False
        if self._coordinator.ending is not None and not self._placement.can_hold(job.size):
            return True
        return bool(job.not_on) and self._placement.has_none_but(job.not_on, job.size)

    def debug_string(self) -> str:
        return "search/study"


def _look(placement: Placement, coordinator: Coordinator) -> None:
    if placement.look():
        coordinator.concurrency = placement.concurrency


_ADDRESS = re.compile(r"\bip[=:] ?([0-9a-f.:]+)")
"""Of the host of a process that has died, as Ray writes it."""


def _address_in(ray_error: str) -> str:
    found = _ADDRESS.search(ray_error)
    return found[1] if found else ""


_HOST_ENDED = re.compile(r"the actor's node was (?:preempted|terminated)(?: (\w+))?: (.*)")
_PREEMPTED = "Actor died by preemption."
_TRIAL_ERROR = re.compile(rf"TrialError: ({'|'.join(FailureKind)}): (.*)")


def failure_in(ray_error: str) -> Failure:
    """What a lost job died of by what Ray says, where the trial's process could leave no note."""
    found = _TRIAL_ERROR.search(ray_error)
    if found:
        return Failure(FailureKind(found[1]), found[2])
    if OUT_OF_MEMORY in ray_error:
        return Failure(FailureKind.MEMORY, OUT_OF_MEMORY)
    if found := _HOST_ENDED.search(ray_error):
        if found[1] == "unexpectedly":
            return Failure(FailureKind.HOST_DIED, f"its host has ended: {found[2]}")
        return Failure(FailureKind.HOST_LOST, f"its host was taken away: {found[2]}")
    if _PREEMPTED in ray_error:
        return Failure(FailureKind.HOST_LOST, "its host was taken away: preempted")
    return Failure(FailureKind.DIED, "the trial's process died")


def of_leaving_host(failure: Failure) -> Failure:
    """What a job was lost to whose host is being taken away: Ray may see no more than a closed connection."""
    if failure.kind not in (FailureKind.DIED, FailureKind.HOST_DIED):
        return failure
    return Failure(FailureKind.HOST_LOST, f"its host was being taken away: {failure.cause}")
