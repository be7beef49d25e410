"""Which executor a search runs on."""

from __future__ import annotations

from search.errors import ConfigError, Problem
from search.run.executor import Executor
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor


def executor_for(address: str | None, *, local: bool) -> Executor:
    """Ray's executor, see `RaySession`, or the one that runs trials in this process.

    Raises:
        ConfigError: `local`, and the address of a cluster.
    """
    if local and address is not None:
        rule = f"runs trials in this process, and address is {address}, a Ray cluster's; give one of them"
        raise ConfigError([Problem("local", "", rule)])
    return LocalExecutor() if local else RayExecutor(address)
