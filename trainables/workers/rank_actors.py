"""The other processes of a trial as Ray's actors, in the placement group of the trial's own process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from trainables.fence import Job, is_newest
from trainables.process.failure import Failure, record
from trainables.ranks.team import Answer, Call, LostPeerError, Team
from trainables.workers.rank_worker import RankWorker

Shared = Mapping[str, Mapping[str, Any]]


class RankActor(RankWorker):
    """A rank in a process of its own.

    Args:
        shared: where the decoded data lie in Ray's store, in a list, so that Ray does not fetch them itself.
        interactive: what a notebook defines, see `TrialTrainable`.
    """

    def __init__(self, shared: list[Any], interactive: Mapping[str, Any]) -> None:
        vars(sys.modules["__main__"]).update(interactive)
        super().__init__(ray.get(shared[0]))

    def join(self, rank: int, size: int, address: str, port: int, own_address: str = "") -> Answer:
        return super().join(rank, size, address, port, own_address or ray.util.get_node_ip_address())


class _RayCall:
    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def is_done(self) -> bool:
        return bool(ray.wait([self._reference], timeout=0)[0])

    def answer(self, seconds: float) -> Answer:
        try:
            return ray.get(self._reference, timeout=max(seconds, 0.001))
        except GetTimeoutError as error:
            raise TimeoutError(str(error)) from None
        except RayActorError as error:
            raise LostPeerError(str(error)) from None


class _RayPeer:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, method: str, *arguments: Any) -> Call:
        return _RayCall(getattr(self._actor, method).remote(*arguments))

    def close(self) -> None:
        ray.kill(self._actor)


def team_of_actors(resources: Mapping[str, float], num_ranks: int, *arguments: Any) -> Team:
    """Start an actor for each rank but this process's, which is 0.

    They end with this process, whose they are, and with the placement group.

    Args:
        resources: of each rank, `CPU` and `GPU`: those of a bundle of the placement group.
        num_ranks: as many as it has bundles; this process is in the first one.
        arguments: of `RankActor`.
    """
    group = get_current_placement_group()
    assert group is not None, "Ray Tune runs each trial in a placement group"
    remote = ray.remote(RankActor)
    actors = [
        remote.options(
            num_cpus=resources.get("CPU", 0),
            num_gpus=resources.get("GPU", 0),
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
        ).remote(*arguments)
        for rank in range(1, num_ranks)
    ]
    return Team([_RayPeer(actor) for actor in actors], ray.util.get_node_ip_address())


def leave_with(folder: Path, job: Job, failure: Failure, trace: str) -> None:
    """End this process, which may be in an exchange that does not end; Ray then ends those of the others."""
    with suppress(OSError):
        if is_newest(folder, job):
            record(folder, job, failure, f"{failure.cause}\n{trace}")
    os._exit(1)
