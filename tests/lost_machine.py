"""A search on a cluster of two machines; one is lost while a trial runs on it."""

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
    """Ends all processes of the machine that trial 0 runs on after its second virtual epoch."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.lost: list[int] = []
        """Process of each trial that was lost, by trial."""

    def event(self, event: Event) -> None:
        if event.kind is EventKind.RETRIED:
            print("lost", event.record.number, event.text, flush=True)
        if event.kind is EventKind.REPORTED and (event.record.number, event.record.depth) == (0, 2):
            machine = self._machine_of(event.metrics["process"])
            self._cluster.remove_node(machine, allow_graceful=False)
            print("removed", flush=True)

    def _machine_of(self, process: int) -> Any:
        parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        for machine in self._cluster.worker_nodes:
            if parent in [info.process.pid for info in machine.all_processes["raylet"]]:
                return machine
        raise AssertionError(f"no machine runs process {process}")


def main(config: Path, results: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    try:
        tree = YAML(typ="safe").load(config)
        summary = search.search(tree, results=results, address=cluster.address, watcher=LosesMachine(cluster))
        print(summary.status, summary.counts)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
