"""A local Ray without the processes that nobody uses in a search, and with workers that have begun already.

No public interface of Ray changes this. Where Ray has become another, things stay as it has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WORKER_IMPORTS = "trainables.worker_imports"
_MOST_WORKERS = 16

_INHERITED = {"PL_DISABLE_FORK": "1"}
"""What Tune gives to the processes of trials by itself."""


@contextmanager
def without_unused_processes() -> Iterator[None]:
    """Meanwhile, `ray.init` starts no autoscaler and no server of its dashboard.

    The latter it starts for usage statistics even where the dashboard is not wanted, and waits for it.
    Together they take 1.2 s of processor time, 190 MB, and most of the time that the end of Ray takes.
    """
    from ray._private.node import Node

    names = [name for name in ("start_monitor", "start_api_server") if hasattr(Node, name)]
    kept = {name: getattr(Node, name) for name in names}
    for name in names:
        setattr(Node, name, _nothing)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)


def _nothing(self: Any, *args: Any, **kwargs: Any) -> None:
    """In the place of a method that starts a process."""


def imported_by_workers(task_module: str | None) -> list[str]:
    """What Ray's workers import before anybody asks for one; nothing on machines of many cores.

    Ray starts as many workers as there are cores; there, most of them would hold torch for nothing.
    """
    if _num_cores() > _MOST_WORKERS:
        return []
    return [WORKER_IMPORTS] if task_module is None else [WORKER_IMPORTS, task_module]


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def let_workers_inherit() -> None:
    """Before a local Ray starts: what Tune gives to the processes of trials is in the environment."""
    for name, value in _INHERITED.items():
        os.environ.setdefault(name, value)


@contextmanager
def trials_take_waiting_workers() -> Iterator[None]:
    """Meanwhile, Tune asks for processes with no variables of their own.

    For one with variables Ray begins a new process, and those that wait for work are of no use. The
    processes of a Ray for which `let_workers_inherit` was called have the variables anyway.
    """
    from ray.tune.execution import class_cache

    names = [name for name in ("DEFAULT_ENV_VARS", "ENV_VARS_TO_PROPAGATE") if hasattr(class_cache, name)]
    kept = {name: getattr(class_cache, name) for name in names}
    for name, value in kept.items():
        setattr(class_cache, name, type(value)())
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(class_cache, name, value)
