"""The jobs that Ray runs: what they take, how long they are silent; and those that wait for room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ray
from ray.tune.experiment import Trial

from search.config.schema import Resources
from search.run.executors.placement import Placement
from search.run.executors.room import Claim
from trainables.process.failure import Failure, FailureKind, hang_trace_is_due, keep_hang_trace
from trainables.session import TrialPlan
from trainables.workers.trainable import Result
from trainables.workers.worker import Started

_PENDING_SECONDS = 60.0
"""After which Ray lacks room where some was counted, as when half of each of two GPUs is free."""


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
        self._pending = 0.0
        """Seconds that Ray has had it without a process."""
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
        return Claim(self._bundle, self.plan.workers, self.node, self.not_on)

    @property
    def is_pending(self) -> bool:
        """Whether it has no process yet."""
        return self._started is None and (self.trial is None or self.trial.status == Trial.PENDING)

    @property
    def lacks_room(self) -> bool:
        """Whether Ray has it, and finds no room for it."""
        return self._pending >= _PENDING_SECONDS

    def start(self, result: Result) -> None:
        """The process is ready, and trains the first virtual epoch."""
        self._actor, self._started, self.node = result.actor, result.started, result.node
        self._pending = 0.0
        self.heard(self.started.step)

    def heard(self, step: int) -> None:
        """The process trains the next virtual epoch from here, or saves this one."""
        self._step, self._left = step, self.plan.timeout

    def tick(self, seconds: float) -> None:
        """Count time that has passed, and end the process if it has been silent for too long."""
        if self.is_pending:
            self._pending += seconds
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

    def __init__(self, given: Mapping[str, RunningJob] = MappingProxyType({})) -> None:
        super().__init__(given)
        self.waiting: list[RunningJob] = []
        """Have no room yet, in the order in which they were decided; Ray does not know them."""

    def leave_room(self, placement: Placement) -> bool:
        """Whether another job may find room, of whatever size its trial is."""
        return not placement.sizes_differ or placement.has_room_for_more(self._claims())

    def have_room_for(self, job: RunningJob, placement: Placement) -> bool:
        """Whether this job finds room beside the others; where all are alike the coordinator sees to that."""
        return not placement.sizes_differ or placement.has_room(self._claims(), job.claim)

    def owed_room(self, placement: Placement) -> RunningJob | None:
        """The job before which no other one begins: there is room for it when smaller ones have ended.

        Where larger ones and its like leave none, whatever small ones do, it keeps nobody from the hosts.
        """
        lacking = [job for job in self.values() if job.lacks_room]
        can_have = (job for job in (*lacking, *self.waiting) if self.can_have_room(job, placement))
        return next(can_have, None)

    def makes_room(self, job: RunningJob, placement: Placement) -> bool:
        """Whether this job is to end after the virtual epoch that it has reported, as a larger one waits.

        Of the hosts that can be made to hold that one, one is cleared, of no more jobs than is needed.
        """
        owed = self.owed_room(placement)
        if owed is None or not job.claim.is_smaller_than(owed.claim):
            return False
        ending = [other for other in self.values() if other.ends]
        others = [other.claim for other in self.values() if other is not owed and not other.ends]
        if ending if owed.lacks_room else placement.has_room(others, owed.claim):
            return False  # when those have ended that end now
        staying, worker = self._staying_beside(owed), replace(owed.claim, workers=1)
        cleared = {other.node for other in ending if placement.has_room_on(other.node, staying, worker)}
        if not placement.has_room_on(job.node, staying, worker):
            return False
        return not cleared or job.node in cleared or owed.plan.workers > 1

    def can_have_room(self, job: RunningJob, placement: Placement) -> bool:
        """Whether there is room for this job when all that are smaller have ended."""
        return placement.has_room(self._staying_beside(job), job.claim)

    def _staying_beside(self, job: RunningJob) -> list[Claim]:
        """What those take that do not make room for a job."""
        others = [other for other in self.values() if other is not job and not other.ends]
        return [other.claim for other in others if not other.claim.is_smaller_than(job.claim)]

    def _claims(self) -> list[Claim]:
        return [job.claim for job in self.values()]
