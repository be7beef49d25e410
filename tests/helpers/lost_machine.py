"""A search on a cluster of two machines, one of which is lost while trial 0 runs on it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster
from ruamel.yaml import YAML

from search.run.events import Event, EventKind
from search.run.reporter import ProgressReporter
from search.run.search import search as run_search


class LosesMachine(ProgressReporter):
    """Ends all processes of the machine on which trial 0 has reported its second virtual epoch."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def event(self, event: Event) -> None:
        number, depth = event.record.number, event.record.depth
        if event.kind is EventKind.RETRIED:
            print(f"lost trial {number}", flush=True)
        if event.kind is EventKind.REPORTED:
            machine = self._machine_of(_parent(event.metrics["process"]))
            print(f"trial {number} ends virtual epoch {depth} on {machine.node_id}", flush=True)
            if (number, depth) == (0, 2):
                self._lose(machine)

    def _machine_of(self, raylet: int) -> Any:
        for machine in self._cluster.worker_nodes:
            if raylet in _raylets(machine):
                return machine
        raise AssertionError(f"process {raylet} is no machine's")

    def _lose(self, machine: Any) -> None:
        raylets = _raylets(machine)
        others = [
            pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _parent(pid) in raylets
        ]
        self._cluster.remove_node(machine, allow_graceful=False)
        # Ray's utility ends the raylet alone; its workers may go on, which those of a lost machine cannot.
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _raylets(machine: Any) -> list[int]:
    return [info.process.pid for info in machine.all_processes["raylet"]]


def _parent(process: int) -> int:
    """The process that started it; 0 if it is no more."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def main(config: Path, results: Path) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    try:
        reporter = LosesMachine(cluster)
        run_search(YAML(typ="safe").load(config), results=results, address=cluster.address, reporter=reporter)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
