"""Which executor a search runs on."""

from __future__ import annotations

from search.errors import SearchError
from search.run.executor import Executor
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor


def executor_for(address: str | None, *, local: bool) -> Executor:
    """An executor: Ray's, or this process.

    Args:
        address: of a running Ray cluster; without it a local Ray is started, or the one of this process used.
        local: run one trial after another in this process.

    Raises:
        SearchError: both are asked for.
    """
    if local and address is not None:
        raise SearchError(
            f"local runs trials in this process and address, {address}, on a Ray cluster; give one of them"
        )
    return LocalExecutor() if local else RayExecutor(address)
