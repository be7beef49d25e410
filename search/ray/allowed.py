"""What the system allows a local Ray to take."""

from __future__ import annotations

import os
import resource

_SMALLEST_STORE = 80_000_000
_PROCESSES = 160
"""Processes and threads of a local Ray with two trials, and of this program: with 110 it aborts."""


def few_processes() -> str:
    """What to say where the system may refuse Ray a process or a thread, for which some of it aborts."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if limit == resource.RLIM_INFINITY or limit >= _PROCESSES or os.getuid() == 0:
        return ""
    return (
        f"you may have {limit} processes and threads (ulimit -u), and Ray starts about {_PROCESSES}: if it "
        "ends or waits without an end, have the limit raised, or run with --local"
    )


def store_bytes() -> int | None:
    """Size of Ray's object store; None leaves it to Ray, which maps 30 % of the memory into each process."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else max(_SMALLEST_STORE, limit // 10)
