"""A search on a cluster of two machines, one of which is lost while trial 0 runs on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster
from ruamel.yaml import YAML

import search
from search.coordinator import Event, EventKind
from search.runner import SilentWatcher


class LosesMachine(SilentWatcher):
    """Ends all processes of the machine on which trial 0 has reported its second virtual epoch."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def event(self, event: Event) -> None:
        number, depth = event.record.number, event.record.depth
        if event.kind is EventKind.RETRIED:
            print(f"lost trial {number}", flush=True)
        if event.kind is EventKind.REPORTED:
            machine = self._machine_of(event.metrics["process"])
            name = "a lost machine" if machine is None else machine.node_id
            print(f"trial {number} ends virtual epoch {depth} on {name}", flush=True)
            if machine is not None and (number, depth) == (0, 2):
                self._cluster.remove_node(machine, allow_graceful=False)

    def _machine_of(self, process: int) -> Any:
        """None once its machine is lost: its processes outlive it by a moment, and may report in that."""
        try:
            parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:
            return None
        for machine in self._cluster.worker_nodes:
            if parent in [info.process.pid for info in machine.all_processes["raylet"]]:
                return machine
        return None


def main(config: Path, results: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    try:
        watcher = LosesMachine(cluster)
        search.search(
            YAML(typ="safe").load(config), results=results, address=cluster.address, watcher=watcher
        )
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
