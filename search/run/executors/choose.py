"""Which executor a search runs on."""

from __future__ import annotations

from search.errors import ConfigError, Problem
from search.ray.session import is_ray_here
from search.run.executor import Executor
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor


def executor_for(address: str | None, *, local: bool, skip_bad_nodes: bool = False) -> Executor:
    """Ray's executor, see `RayExecutor`, or the one that runs trials in this process.

    Raises:
        ConfigError: `local`, and the address of a cluster; an address of Ray's client; or a cluster's option
            without an address, where this process has joined none.
    """
    if local and address is not None:
        rule = f"runs trials in this process, and address is {address}, a Ray cluster's; give one of them"
        raise ConfigError([Problem("local", "", rule)])
    if address is not None and "://" in address:
        rule = (
            f"received {address}; the program itself runs on a machine of the cluster, and this is for "
            "clients elsewhere: log in to a machine of the cluster, as by ssh, and give auto"
        )
        raise ConfigError([Problem("address", "", rule)])
    if skip_bad_nodes and address is None and (local or not is_ray_here()):
        rule = "leaves out hosts of a Ray cluster, and none is named; give its address too"
        raise ConfigError([Problem("skip_bad_nodes", "", rule)])
    return LocalExecutor() if local else RayExecutor(address, skip_bad_nodes=skip_bad_nodes)
