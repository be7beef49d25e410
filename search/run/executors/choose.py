"""Which executor a search runs on."""

from __future__ import annotations

from search.errors import ConfigError, Problem
from search.run.executor import Executor
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor


def executor_for(address: str | None, *, local: bool) -> Executor:
    """An executor: Ray's, or this process.

    Args:
        address: of a running Ray cluster; without it a local Ray is started, or the one of this process used.
        local: run one trial after another in this process.

    Raises:
        ConfigError: both are asked for.
    """
    if local and address is not None:
        rule = f"runs trials in this process, and address is {address}, a Ray cluster's; give one of them"
        raise ConfigError([Problem("local", "", rule)])
    return LocalExecutor() if local else RayExecutor(address)
