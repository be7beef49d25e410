"""Runs jobs as trials of Ray Tune: here, or on a cluster."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence

from search.config.config import Config
from search.ray.patches import started_here, tune_keeps_nothing
from search.ray.preflight import Needs, Preflight
from search.ray.session import RaySession, quiet_tune
from search.run.before.fit import absent, concurrent_trials, sizes_text
from search.run.coordinator import Coordinator
from search.run.executor import Executor, Jobs
from search.run.executors.needs import needs_of
from search.run.executors.placement import Placement, wait_for_hosts

log = logging.getLogger(__name__)


class RayExecutor(RaySession, Executor):
    """Ray executes and the coordinator decides; `begin` starts a local Ray in the background.

    Args:
        address: of a cluster; None is a local Ray.
        skip_bad_nodes: leave out hosts that lack what trials need, rather than refuse to start.
    """

    phase = "starting Ray"

    def __init__(self, address: str | None = None, *, skip_bad_nodes: bool = False) -> None:
        super().__init__(address)
        self._skip_bad_nodes = skip_bad_nodes
        self._placement: Placement | None = None
        self._preflight: Preflight | None = None
        self._passed: set[tuple[str, Needs]] = set()
        """By the ids of hosts, what they are known to have, for all searches on this executor."""
        self.elsewhere = address is not None

    @property
    def flags(self) -> Sequence[str]:  # type: ignore[override]
        skip = ["--skip-bad-nodes"] if self._skip_bad_nodes else []
        return () if self.address is None else ("--address", self.address, *skip)

    @property
    def after_death(self) -> str:  # type: ignore[override]
        if self._cluster is None:
            return super().after_death
        return "start it again, or another one and name that with --address"

    def prepare(self, jobs: Jobs) -> None:
        self._end_placement()
        if self._cluster is not None:
            self._cluster.note = jobs.note
        if self.address is not None:
            wait_for_hosts(jobs.config, jobs.note, self.hosts, self.death)
        num_hosts = len(self.hosts())
        self.concurrency(jobs.config)
        if self.address is not None or num_hosts > 1:
            self._preflight = Preflight(needs_of(jobs), jobs.folder.run_path, self._passed)
        shared = self.address is not None or not started_here()
        placement = Placement(
            jobs.config, self.hosts, self._preflight, jobs.note, leaving=self.leaving, shared=shared
        )
        if num_hosts > 1:
            try:
                placement.inspect(skip_bad=self._skip_bad_nodes, phase=jobs.phase)
            except BaseException:
                self._end_placement()
                raise
        self._placement = placement

    def concurrency(self, config: Config) -> int:
        if self._placement is not None:
            return self._placement.concurrency
        return concurrent_trials(config.resources, self.hosts())

    def check_fits(self, config: Config) -> None:
        hosts = self.hosts()
        # For those hosts the search will wait when it comes to that stage.
        may_join = self.address is not None and config.resources.concurrent_trials is not None
        if not may_join or absent(config.resources, hosts) is None:
            concurrent_trials(config.resources, hosts)

    def sizes_text(self, config: Config) -> str:
        return (
            sizes_text(config.resources, self.hosts())
            if self._placement is None
            else self._placement.sizes_text
        )

    def run(self, coordinator: Coordinator, jobs: Jobs) -> None:
        quiet_tune()
        from search.run.executors.ray_tune import tuner_of

        assert self._placement is not None, "prepare() comes first"
        shutil.rmtree(jobs.folder.scratch, ignore_errors=True)
        tuner = tuner_of(coordinator, jobs, self._placement, self.death)
        try:
            with self.starting_trials(), tune_keeps_nothing():
                tuner.fit()
        except Exception:
            # Whatever ended the search, a full disk above all, may keep Ray from reading its own files.
            if not coordinator.gave_up:
                raise
            log.exception("Ray Tune")
        finally:
            self._end_placement()

    def close(self) -> None:
        self._end_placement()
        super().close()

    def _end_placement(self) -> None:
        if self._preflight is not None:
            self._preflight.close()
        self._placement = self._preflight = None
