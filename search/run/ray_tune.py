"""Ray Tune's two interfaces over the coordinator: Ray executes jobs, the coordinator decides.

Every job of a trial is a Ray trial of its own that begins from the trial's newest checkpoint. So pausing is
the end of a job, promotion and retrying are new jobs, and Ray has no paused trials, no retries and no state
that would have to be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.result import EXPR_ERROR_FILE
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from search.ray.repairs import OUT_OF_MEMORY, repair_tune
from search.run.coordinator import Coordinator, Turn
from search.study.journal import JournalWriteError
from search.study.study import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs
from trainables.process.failure import Failure, FailureKind, take_failure
from trainables.session import TrialPlan

repair_tune()


class _Stateless:
    """Ray pickles searcher and scheduler for a restore that never comes; the study on disk is the state."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class StudySearcher(_Stateless, Searcher):
    """Gives Ray the next job as a configuration."""

    def __init__(self, coordinator: Coordinator, plan: Callable[[TrialRecord], TrialPlan]) -> None:
        super().__init__(metric=None, mode=None)
        self._coordinator = coordinator
        self._plan = plan
        self._jobs: set[str] = set()
        """Ids of Ray's trials that have not ended."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        # A job that has ended for the coordinator may still be saving what the next one goes on from.
        if len(self._jobs) > len(self._coordinator.running):
            return None
        try:
            turn = self._coordinator.next_trial()
            if isinstance(turn, TrialRecord):
                self._jobs.add(trial_id)
                return {"plan": self._plan(turn).as_dict()}
        except (JournalWriteError, OSError) as error:
            self._coordinator.on_broken(error)
            turn = Turn.DONE
        return Searcher.FINISHED if turn is Turn.DONE else None

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        self._jobs.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study on disk is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search is resumed from the study."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the study on disk is the state."""


class StudyScheduler(_Stateless, TrialScheduler):
    """Passes reports and losses to the coordinator. Ray itself starts whatever is pending."""

    def __init__(self, coordinator: Coordinator) -> None:
        super().__init__()
        self._coordinator = coordinator

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        plan = TrialPlan(**trial.config["plan"])
        if not self._coordinator.is_running(plan.number):
            return TrialScheduler.STOP
        report = dict(result)
        if "diverged" not in report:
            report["objective"] = float(report[plan.metric])
        try:
            goes_on = self._coordinator.on_report(plan.number, report, VirtualEpochs(**_lengths(report)))
        except JournalWriteError as error:
            self._coordinator.on_broken(error)
            goes_on = False
        if goes_on:
            return TrialScheduler.CONTINUE
        with suppress(AttributeError):
            _save_at_end(trial, needed=not report.get("saved"))
        return TrialScheduler.STOP

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        plan = TrialPlan(**trial.config["plan"])
        error_file = Path(trial.local_path or "") / EXPR_ERROR_FILE
        ray_error = error_file.read_text() if error_file.is_file() else None
        failure = take_failure(Path(plan.folder)) or failure_in(ray_error or "")
        try:
            self._coordinator.on_lost(plan.number, failure)
        except JournalWriteError as error:
            self._coordinator.on_broken(error)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        return None

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        return None

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        return None

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        return None

    def debug_string(self) -> str:
        return "search/study"


def _save_at_end(trial: Trial, *, needed: bool) -> None:
    """Whether Tune asks the trial's process for a checkpoint, which keeps that from its next trial."""
    trial.run_metadata.checkpoint_manager.checkpoint_config.checkpoint_at_end = needed


_TRIAL_ERROR = re.compile(rf"TrialError: ({'|'.join(FailureKind)}): (.*)")


def failure_in(ray_error: str) -> Failure:
    """What a lost job died of by what Ray says, where the trial's process could leave no note."""
    found = _TRIAL_ERROR.search(ray_error)
    if found:
        return Failure(FailureKind(found[1]), found[2])
    if OUT_OF_MEMORY in ray_error:
        return Failure(FailureKind.MEMORY, OUT_OF_MEMORY)
    return Failure(FailureKind.DIED, "the trial's process died")


def _lengths(report: dict[str, Any]) -> dict[str, Any]:
    """The trial's virtual-epoch lengths, which travel in each report."""
    return {
        key.removeprefix("lengths/"): value for key, value in report.items() if key.startswith("lengths/")
    }
