"""Runs jobs as trials of Ray Tune: here, or on a cluster."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence

from search.config.config import Config
from search.ray.patches import tune_keeps_nothing
from search.ray.session import RaySession, quiet_tune
from search.run.coordinator import Coordinator
from search.run.executor import Executor, Jobs, concurrent_trials

log = logging.getLogger(__name__)


class RayExecutor(RaySession, Executor):
    """Ray executes and the coordinator decides; `begin` starts a local Ray in the background."""

    phase = "starting Ray"

    @property
    def flags(self) -> Sequence[str]:  # type: ignore[override]
        return () if self.address is None else ("--address", self.address)

    def concurrency(self, config: Config) -> int:
        return concurrent_trials(config, self.resources())

    def run(self, coordinator: Coordinator, jobs: Jobs) -> None:
        quiet_tune(coordinator.concurrency)
        from search.run.executors.ray_tune import tuner_of

        shutil.rmtree(jobs.folder.scratch, ignore_errors=True)
        tuner = tuner_of(coordinator, jobs, self.death)
        try:
            with self.starting_trials(), tune_keeps_nothing():
                tuner.fit()
        except Exception:
            # Whatever ended the search, a full disk above all, may keep Ray from reading its own files.
            if not coordinator.gave_up:
                raise
            log.exception("Ray Tune")
