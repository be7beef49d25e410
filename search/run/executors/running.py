"""The jobs that Ray runs: what they take, how long they are silent; and the one that waits for room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.tune.experiment import Trial

from search.config.schema import Resources
from search.run.executors.placement import Placement
from search.run.executors.room import Claim
from trainables.process.failure import Failure, FailureKind, hang_trace_is_due, keep_hang_trace
from trainables.session import TrialPlan
from trainables.trainable import Result
from trainables.worker import Started


class RunningJob:
    """One job, from the time that Ray gets it to its end, and how long it may go on without a report.

    Args:
        plan: what it runs.
        size: what its trial takes.
    """

    def __init__(self, plan: TrialPlan, size: Resources) -> None:
        self.plan, self.size = plan, size
        self.not_on: Sequence[str] = ()
        """Ray's ids of hosts where it must not run."""
        self._bundle: Mapping[str, float] = {}
        self.ends = False
        """Its process saves, and then gives its resources back."""
        self.trial: Trial | None = None
        """Ray's own, once it has taken the job."""
        self.node = ""
        """Ray's id of its host, once its process is ready."""
        self.failure: Failure | None = None
        """What it was ended for here."""
        self._actor: Any = None
        self._started: Started | None = None
        self._step = 0
        self._left: float | None = None

    @property
    def started(self) -> Started:
        """What its process said when it was ready."""
        assert self._started is not None
        return self._started

    def asks(self, placement: Placement) -> dict[str, Any]:
        """What Ray is asked for, by the hosts of now."""
        request = placement.request(self.plan.number, self.size)
        self.not_on, self._bundle = request["not_on"], request["resources"]
        return request

    @property
    def claim(self) -> Claim:
        """What it takes of the hosts."""
        return Claim(self._bundle, self.plan.workers, self.node)

    def start(self, result: Result) -> None:
        """The process is ready, and trains the first virtual epoch."""
        self._actor, self._started, self.node = result.actor, result.started, result.node
        self.heard(self.started.step)

    def heard(self, step: int) -> None:
        """The process trains the next virtual epoch from here, or saves this one."""
        self._step, self._left = step, self.plan.timeout

    def tick(self, seconds: float) -> None:
        """Count time that has passed, and end the process if it has been silent for too long."""
        if self._left is None or self.failure is not None:
            return
        self._left -= seconds
        limit = self.plan.timeout or 0
        # On a busy machine it may have begun late; one that has not begun at all is gone.
        said = self._left <= 0 and hang_trace_is_due(Path(self.plan.folder), limit, self.plan.job)
        if said or self._left <= -limit:
            cause = f"a virtual epoch took more than {round(limit, 1):g} s, begun at step {self._step}"
            self.failure = Failure(FailureKind.HUNG, cause)
            keep_hang_trace(Path(self.plan.folder), self.failure, self.plan.job)
            ray.kill(self._actor)


class RunningJobs(dict[str, RunningJob]):
    """The jobs that Ray has and that have not ended, by the ids of Ray's trials."""

    waiting: RunningJob | None = None
    """Begins next, as soon as there is room for it; Ray does not know it yet."""

    def leave_room(self, placement: Placement) -> bool:
        """Whether another job may find room, of whatever size its trial is."""
        return not placement.sizes_differ or placement.has_room_for_more(self._claims())

    def have_room_for(self, job: RunningJob, placement: Placement) -> bool:
        """Whether this job finds room beside the others; where all are alike the coordinator sees to that."""
        return not placement.sizes_differ or placement.has_room(self._claims(), job.claim)

    def makes_room(self, job: RunningJob, placement: Placement) -> bool:
        """Whether this job is to end after the virtual epoch that it has reported, as a larger one waits.

        Of the hosts that could hold that one, one is cleared, of no more jobs than is needed.
        """
        if self.waiting is None or not job.claim.is_smaller_than(waiting := self.waiting.claim):
            return False
        if placement.has_room([other.claim for other in self.values() if not other.ends], waiting):
            return False  # when those have ended that end now
        cleared = {other.node for other in self.values() if other.ends}
        if waiting.workers > 1:
            return True
        return placement.could_hold(job.node, waiting) and (not cleared or job.node in cleared)

    def _claims(self) -> list[Claim]:
        return [job.claim for job in self.values()]
