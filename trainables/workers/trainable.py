"""The thin adapter from Ray's Trainable to a TrialWorker: one `step()` is one virtual epoch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

from trainables.checkpoints.arrived import has_arrived
from trainables.process.failure import FailureKind, TrialError
from trainables.process.imports import Bounded
from trainables.ranks.team import Team
from trainables.session import Record, TrialPlan
from trainables.workers.rank_actors import leave_with, team_of_actors
from trainables.workers.worker import Started, TrialWorker

RESULT = "result"
_MAX_PRINTED = 1_000_000
"""Characters that a job may print to each stream: all of it goes into the log of the search."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What `step()` sends, in one piece: Ray flattens dictionaries, and adds keys of its own to them."""

    report: Record | None = None
    """None before the first virtual epoch of a job."""
    started: Started | None = None
    actor: Any = None
    """The handle with which Ray ends the trial's process."""
    node: str = ""
    """Ray's id of the host where that is."""


class TrialTrainable(tune.Trainable):
    """Runs trials one after another in one process.

    The first `step()` of a job trains nothing: its result says that the trial is ready.
    Checkpoints are the session's own, in the trial's folder; those of Ray are empty.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """What each of the job's processes takes of its host, and on which hosts they must not run."""
        asked = config["request"]
        elsewhere = [{"ray.io/node-id": f"!in({','.join(asked['not_on'])})"}] if asked["not_on"] else None
        workers = config["plan"].get("workers", 1)
        elsewhere = None if elsewhere is None else elsewhere * workers
        return tune.PlacementGroupFactory([asked["resources"]] * workers, bundle_label_selector=elsewhere)

    def setup(
        self,
        config: dict[str, Any],
        shared: Mapping[str, Mapping[str, np.ndarray]] | None = None,
        interactive: Mapping[str, Any] | None = None,
        stored: list[Any] | None = None,
    ) -> None:
        """Called once in the life of the process.

        Args:
            config: of the first job.
            shared: decoded data by its key; None where they are `stored`.
            interactive: what a notebook defines.
            stored: where they lie in Ray's store, for trials of several processes.
        """
        vars(sys.modules["__main__"]).update(interactive or {})
        self._team: Team | None = None
        workers = config["plan"].get("workers", 1)
        if stored is not None:
            shared = ray.get(stored[0])
        if stored is not None and workers > 1:
            self._team = team_of_actors(config["request"]["resources"], workers, stored, interactive or {})
        self.worker = TrialWorker(shared, alone=True, team=self._team)
        self._streams = sys.stdout, sys.stderr
        self._printed = [Bounded(stream, _MAX_PRINTED, "a trial") for stream in self._streams]
        sys.stdout, sys.stderr = self._printed  # type: ignore[assignment]
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        # The job begins with its first step: Tune may give it to a process that has become free while the one
        # that it asked for first still starts, and of two in a folder one takes the files of the other away.
        self._job: dict[str, Any] | None = new_config
        return True

    def step(self) -> dict[str, Result]:
        if self._job is None:
            return {RESULT: Result(report=self.worker.next_report())}
        job, self._job = self._job, None
        return {RESULT: Result(started=self._begin(job), actor=_this_actor(), node=_this_node())}

    def cleanup(self) -> None:
        self.worker.end()
        if self._team is not None:
            self._team.close()
        sys.stdout, sys.stderr = self._streams

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Called when a job of the trial ends, before another process may continue it."""
        self.worker.save()

    def load_checkpoint(self, checkpoint: Any) -> None:
        return None

    def _begin(self, config: dict[str, Any]) -> Started:
        plan = TrialPlan(**config["plan"])
        # Made before the job was asked for, where hosts share it.
        if "request" in config and not plan.storage and not has_arrived(Path(plan.folder)):
            missing = (
                f"the trial's folder {plan.folder} is not there: the results are not shared with this host"
            )
            raise TrialError(f"{FailureKind.PASSING}: {missing}")
        for stream in self._printed:
            stream.renew(f"trial {plan.number}")
        if self._team is not None:
            self._team.give_up = partial(leave_with, Path(plan.folder), plan.job)
        return self.worker.begin(plan)


def _this_actor() -> Any:
    """The handle of this process; None where no Ray has made it."""
    context = ray.get_runtime_context() if ray.is_initialized() else None
    return None if context is None or context.get_actor_id() is None else context.current_actor


def _this_node() -> str:
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
