"""Runs jobs as trials of Ray Tune: here, or on a cluster."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence

from search.config.config import Config
from search.ray.session import RaySession, quiet_tune
from search.run.coordinator import Coordinator
from search.run.executor import Executor, Jobs
from search.run.executors.placement import Placement, wait_for_hosts
from search.run.fit import concurrent_trials

log = logging.getLogger(__name__)


class RayExecutor(RaySession, Executor):
    """Ray executes and the coordinator decides; `begin` starts a local Ray in the background."""

    phase = "starting Ray"

    @property
    def flags(self) -> Sequence[str]:  # type: ignore[override]
        return () if self.address is None else ("--address", self.address)

    def prepare(self, jobs: Jobs) -> None:
        if self.address is not None:
            wait_for_hosts(jobs.config, jobs.note)

    def concurrency(self, config: Config) -> int:
        return concurrent_trials(config, self.hosts())

    def run(self, coordinator: Coordinator, jobs: Jobs) -> None:
        quiet_tune()
        from search.run.executors.ray_tune import tuner_of

        shutil.rmtree(jobs.folder.scratch, ignore_errors=True)
        placement = Placement(jobs.config, coordinator, jobs.note, self.hosts)
        tuner = tuner_of(coordinator, jobs, placement, self.death)
        try:
            with self.starting_trials():
                tuner.fit()
        except Exception:
            # Whatever ended the search, a full disk above all, may keep Ray from reading its own files.
            if not coordinator.gave_up:
                raise
            log.exception("Ray Tune")
