"""The processor cores that this process may use: on this machine, and in this container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/proc/self/cgroup")
_LIMITS = Path("/sys/fs/cgroup")


def num_cores() -> int:
    """Cores that the system gives to this process, at least 1.

    Fewer than the machine has under `taskset` and batch systems (affinity), and in a container with a limit
    (`docker run --cpus=1`, Kubernetes), which hides no core but stops whoever takes more time. SLURM may bind
    nothing, and then only says how many it has given.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, *_quotas(), *_given_by_slurm()])))


def _given_by_slurm() -> Iterator[int]:
    """CPUs of this node that a job or step has; `salloc` sets the variable for a shell elsewhere too."""
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    if "SLURMD_NODENAME" in os.environ and given.isdecimal() and int(given) > 0:
        yield int(given)


def _quotas() -> Iterator[float]:
    """Cores' worth of time that each control group of this process may take, in version 2 or 1 of these."""
    try:
        lines = _GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = _LIMITS / controllers
        # In a container the path may be that of the host, and the container's own group is at the top.
        inside = Path(path.lstrip("/"))
        for folder in dict.fromkeys([top / inside, *(top / parent for parent in inside.parents), top]):
            yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    """Time per period of one group, if it is limited."""
    for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        try:
            words = " ".join((folder / name).read_text(encoding="ascii") for name in names).split()
        except OSError:
            continue
        if len(words) == 2 and words[0].isdecimal() and int(words[1]) > 0:  # otherwise `max`, or -1
            yield int(words[0]) / int(words[1])
