"""How many trials the hosts of a search run at once: each worker runs on one, which has what it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.config.config import Config
from search.config.schema import Resources
from search.errors import RefusedError
from search.ray.hosts import Host

_TOLERANCE = 1e-9
_RAYS_PARTS = 10_000
"""Of one GPU; Ray rounds a share to these, and three times 0.33334 would be more than one."""


def concurrent_trials(config: Config, hosts: Sequence[Host]) -> int:
    """Trials that run at once on these hosts: as many as fit, and at most `resources.concurrent_trials`.

    Raises:
        RefusedError: not even one trial fits on any of them.
    """
    fits = num_fitting(config.resources, hosts)
    if not fits:
        raise RefusedError(
            f"resources: {'; '.join(_lacking(config.resources, hosts))}. "
            "Ask for less with --set, or name a larger Ray cluster with --address"
        )
    return min(fits, config.resources.concurrent_trials or fits)


def num_fitting(resources: Resources, hosts: Sequence[Host]) -> int:
    """Trials that find what they need on all these hosts together; with several workers one may span some."""
    return sum(_fitting(resources.of_worker, host) for host in hosts) // resources.workers_per_trial


def fits(resources: Resources, host: Host) -> bool:
    """Whether the host has what a trial asks for, or one of its workers."""
    return _fitting(resources.of_worker, host) > 0


def spread_share(resources: Resources, hosts: Sequence[Host], at_once: int) -> float:
    """Share of a GPU that each of so many trials asks Ray for; with a larger one they would not all fit.

    Ray fills one device before it takes the next: by the share that a trial needs, some would be idle.
    """
    needed = resources.gpus_per_trial
    if needed == 0:
        return 0.0
    for trials in range(1, int(1 / needed + _TOLERANCE) + 1):
        share = math.floor(_RAYS_PARTS / trials) / _RAYS_PARTS
        larger = resources.model_copy(update={"gpus_per_trial": share})
        if share > needed and num_fitting(larger, hosts) >= at_once:
            return share
    return needed


def is_absent(resources: Resources, hosts: Sequence[Host]) -> bool:
    """Whether the hosts have nothing at all of something that a trial asks for, rather than too little."""
    asked = {"CPU": resources.cpus_per_trial, "GPU": resources.gpus_per_trial}
    return any(
        wanted > 0 and not any(host.resources.get(kind, 0) for host in hosts)
        for kind, wanted in asked.items()
    )


def _fitting(resources: Resources, host: Host) -> int:
    return min(_on_cpus(resources, host), _on_gpus(resources, host))


def _on_cpus(resources: Resources, host: Host) -> int:
    return int(host.resources.get("CPU", 0) / resources.cpus_per_trial + _TOLERANCE)


def _on_gpus(resources: Resources, host: Host) -> int:
    """A share is one of a single device."""
    gpus, share = host.resources.get("GPU", 0), resources.gpus_per_trial
    if share == 0:
        return _on_cpus(resources, host)
    return int(gpus) * int(1 / share + _TOLERANCE)


def _lacking(resources: Resources, hosts: Sequence[Host]) -> list[str]:
    """What no host has enough of, with what the host with the most has; or all hosts for several workers."""
    if resources.workers_per_trial > 1 and hosts:
        worker, workers = resources.of_worker, resources.workers_per_trial
        room = sum(_fitting(worker, host) for host in hosts)
        takes = f"each takes {worker.cpus_per_trial:g} CPUs and {worker.gpus_per_trial:g} GPUs"
        where = "there is" if len(hosts) < 2 else f"the {len(hosts)} hosts have"
        return [f"workers_per_trial is {workers}: {takes}, and {where} room for {room}"]
    asked = {
        "CPU": ("cpus_per_trial", resources.cpus_per_trial, _on_cpus),
        "GPU": ("gpus_per_trial", resources.gpus_per_trial, _on_gpus),
    }
    found = []
    for kind, (name, wanted, fitting) in asked.items():
        if wanted == 0 or any(fitting(resources, host) for host in hosts):
            continue
        largest = max(hosts, key=lambda host: host.resources.get(kind, 0), default=Host({}))
        there = largest.resources.get(kind, 0)
        if len(hosts) < 2 or not there:
            found.append(f"{name} is {wanted:g}, there are {there:g}")
        else:
            rule = f"a trial runs on one host, and the largest of {len(hosts)}, {largest}, has {there:g}"
            found.append(f"{name} is {wanted:g}: {rule}")
    cpus, gpus = resources.cpus_per_trial, resources.gpus_per_trial
    return found or [f"no host has {cpus:g} CPUs and {gpus:g} GPUs for a trial, which runs on one"]
