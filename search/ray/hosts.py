"""The hosts of a Ray cluster, as Ray knows them now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Host:
    """A machine that runs trials."""

    resources: Mapping[str, float] = field(compare=False)
    """What it has, used or not: `CPU`, `GPU`."""
    name: str = "this machine"
    address: str = ""
    node_id: str = ""
    """Ray's, which no other host ever gets."""

    def __str__(self) -> str:
        return f"{self.name} ({self.address})" if self.address else self.name


def living_hosts() -> list[Host]:
    """The hosts of this process's cluster that Ray does not hold for dead, by name.

    One whose cable was pulled lives for a minute more: Ray asks it several times.
    """
    import ray

    living = (node for node in ray.nodes() if node["Alive"])
    hosts = [
        Host(
            resources=node["Resources"],
            name=node["NodeManagerHostname"],
            address=node["NodeManagerAddress"],
            node_id=node["NodeID"],
        )
        for node in living
    ]
    return sorted(hosts, key=lambda host: (host.name, host.address, host.node_id))


@contextmanager
def asked_for(resources: Mapping[str, float], number: int) -> Iterator[None]:
    """Meanwhile Ray's autoscaler, if there is one, is asked for hosts with so many times these resources."""
    from ray.util.placement_group import placement_group, remove_placement_group

    bundle = {name: amount for name, amount in resources.items() if amount}
    groups = [placement_group([bundle]) for _ in range(number)]
    try:
        yield
    finally:
        for group in groups:
            remove_placement_group(group)
