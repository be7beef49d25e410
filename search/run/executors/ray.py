"""Runs jobs as trials of Ray Tune: here, or on a cluster."""

from __future__ import annotations

import logging
import shutil
from typing import Self

from search.config.config import Config
from search.ray.session import RaySession, quiet_tune, ray_resources
from search.run.coordinator import Coordinator
from search.run.executor import Jobs, concurrent_trials
from trainables.process.quick_imports import gc_disabled

log = logging.getLogger(__name__)


class RayExecutor:
    """Ray executes and the coordinator decides.

    Args:
        address: of a running Ray cluster; without it a local Ray is started, or the one of this process used.
    """

    phase = "starting Ray"

    def __init__(self, address: str | None = None) -> None:
        self._session = RaySession(address)

    def begin(self, task: str = "") -> None:
        """Start a local Ray in the background, unless one is there or an address was given."""
        self._session.begin(task)

    def __enter__(self) -> Self:
        self._session.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.__exit__(*exception)

    def close(self) -> None:
        """End a Ray that was started here."""
        self._session.close()

    def concurrency(self, config: Config) -> int:
        """Trials that run at once, from what a trial asks for and what Ray has."""
        return concurrent_trials(config, ray_resources())

    def run(self, coordinator: Coordinator, jobs: Jobs) -> None:
        quiet_tune(coordinator.concurrency)
        with gc_disabled():
            from search.run.executors.ray_tune import tuner_of

        shutil.rmtree(jobs.scratch, ignore_errors=True)
        with self._session.tune_settings():
            tuner = tuner_of(coordinator, jobs)
            try:
                tuner.fit()
            except Exception:
                # Whatever ended the search, a full disk above all, may keep Ray from reading its own files.
                if not coordinator.gave_up:
                    raise
                log.exception("Ray Tune")
