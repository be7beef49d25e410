"""How many trials the hosts of a search run at once: each worker runs on one, which has what it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.config.schema import Resources
from search.errors import RefusedError
from search.ray.hosts import Host
from search.text import nearest

_TOLERANCE = 1e-9
KIND = "accelerator_type:"
"""Begins the name of the resource by which Ray says of which kind the GPUs of a host are."""
_RAYS_LEAST = 0.001
"""What a process takes of that resource, of which a host has 1, as by Ray's own `accelerator_type=`."""
_RAYS_PARTS = 10_000
"""Of one GPU; Ray rounds a share to these, and three times 0.33334 would be more than one."""


def concurrent_trials(resources: Resources, hosts: Sequence[Host]) -> int:
    """Trials that run at once on these hosts: as many as fit, and at most `resources.concurrent_trials`.

    Where not all take the same, this is their number if all were of the smallest size.

    Raises:
        RefusedError: not even one trial of some size fits on any of them.
    """
    for which, size in resources.sizes:
        if not num_fitting(size, hosts):
            at = f"resources.where, {which}" if which else "resources"
            raise RefusedError(
                f"{at}: {lacking_text(size, hosts)}. "
                "Ask for less with --set, or name a larger Ray cluster with --address"
            )
    return at_once(resources, hosts)


def at_once(resources: Resources, hosts: Sequence[Host]) -> int:
    """The same, and 0 where none fits."""
    fitting = max(num_fitting(size, hosts) for _, size in resources.sizes)
    return min(fitting, resources.concurrent_trials or fitting)


def sizes_text(resources: Resources, hosts: Sequence[Host]) -> str:
    """`4 with other values, 2 with model.width 64`: trials at once, of each size; empty if there is one."""
    found = [
        (at_once(size, hosts), f"with {which}" if which else "with other values")
        for which, size in resources.sizes
    ]
    return ", ".join(f"{number} {whose}" for number, whose in found) if len(found) > 1 else ""


def num_fitting(resources: Resources, hosts: Sequence[Host]) -> int:
    """Trials of one size that find what they need on all these hosts together.

    With several workers one trial may span some.
    """
    return sum(_fitting(resources.of_worker, host) for host in hosts) // resources.workers_per_trial


def fits(resources: Resources, host: Host) -> bool:
    """Whether the host has what a trial of some size asks for, or one of its workers."""
    return any(_fitting(size.of_worker, host) > 0 for _, size in resources.sizes)


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


def absent(resources: Resources, hosts: Sequence[Host]) -> Resources | None:
    """Of what trials ask for, that of which the hosts have some part not at all, rather than too little."""
    for _, size in resources.sizes:
        of_kind = [host for host in hosts if _is_of_kind(size, host)]
        asked = {"CPU": size.cpus_per_trial, "GPU": size.gpus_per_trial}
        for kind, wanted in asked.items():
            if wanted > 0 and not any(host.resources.get(kind, 0) for host in of_kind):
                return size
    return None


def bundle(resources: Resources, share: float | None = None) -> dict[str, float]:
    """What Ray is asked for, for each worker of a trial.

    Args:
        share: of a GPU, in the place of what a worker needs.
    """
    worker = resources.of_worker
    asked = {"CPU": worker.cpus_per_trial, "GPU": worker.gpus_per_trial if share is None else share}
    if worker.accelerator is not None and worker.gpus_per_trial:
        asked[KIND + worker.accelerator] = _RAYS_LEAST
    return asked


def _is_of_kind(resources: Resources, host: Host) -> bool:
    """Whether the GPUs of the host are of the kind that is asked for, if any is."""
    return resources.accelerator is None or bool(host.resources.get(KIND + resources.accelerator, 0))


def _fitting(resources: Resources, host: Host) -> int:
    if not _is_of_kind(resources, host):
        return 0
    return min(_on_cpus(resources, host), _on_gpus(resources, host))


def _on_cpus(resources: Resources, host: Host) -> int:
    return int(host.resources.get("CPU", 0) / resources.cpus_per_trial + _TOLERANCE)


def _on_gpus(resources: Resources, host: Host) -> int:
    """A share is one of a single device."""
    gpus, share = host.resources.get("GPU", 0), resources.gpus_per_trial
    if share == 0:
        return _on_cpus(resources, host)
    return int(gpus) * int(1 / share + _TOLERANCE)


def lacking_text(resources: Resources, hosts: Sequence[Host]) -> str:
    """What no host has enough of for a trial of one size, as `gpus_per_trial is 1, there are 0`."""
    return "; ".join(_lacking(resources, hosts))


def _lacking(resources: Resources, hosts: Sequence[Host]) -> list[str]:
    """What no host has enough of, with what the host with the most has; or all hosts for several workers."""
    if (kind := resources.accelerator) is not None and not any(
        _is_of_kind(resources, host) for host in hosts
    ):
        return [f"accelerator is {kind}, {_kinds(kind, hosts)}"]
    hosts = [host for host in hosts if _is_of_kind(resources, host)]
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


def _kinds(wanted: str, hosts: Sequence[Host]) -> str:
    """The kinds of GPUs that there are in the place of the one that is wanted."""
    known = sorted({name.removeprefix(KIND) for host in hosts for name in host.resources if KIND in name})
    if not known:
        return "and no host says of which kind its GPUs are"
    close = nearest(wanted, known)
    return f"and there are {', '.join(known)}" + (f"; did you mean {close!r}?" if close else "")
