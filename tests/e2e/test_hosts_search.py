"""Searches on a cluster of hosts that share one folder and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import Hosts, cluster_of_hosts
from invariants import assert_nothing_lost
from programs import write_config
from tiny_tasks import search_config

ALONE: list[str] = ["--num-cpus=1"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def hosts(shared: Path) -> Iterator[Hosts]:
    """A head that runs no trials, and two workers of one CPU each."""
    with cluster_of_hosts(ALONE, ALONE, shared=shared) as hosts:
        yield hosts


def meeting(folder: Path, hosts: int = 2, **sections: Any) -> dict[str, Any]:
    """A search whose trials meet in a folder from so many hosts."""
    folder.mkdir()
    trial = search_config()["trial"] | {"data": {"folder": str(folder), "hosts": hosts}}
    sections = {"budget": {"trials": 2, "max_virtual_epochs": 2}, "scheduler": {"name": "none"}} | sections
    return {"task": "host_tasks:MeetingTask", "trial": trial, **sections}


def test_both_workers_run_trials_of_a_search(hosts: Hosts, shared: Path) -> None:
    config = write_config(shared, **meeting(shared / "met"))
    done = hosts.head.search(str(config), "--results", str(shared), "--address", hosts.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 at a time" in done.stdout
    assert {file.name for file in (shared / "met").iterdir()} == {"w1", "w2"}
    assert_nothing_lost(shared / "digits")


def test_a_trial_larger_than_any_host_is_refused_before_the_start(hosts: Hosts, shared: Path) -> None:
    config = write_config(shared, resources={"cpus_per_trial": 2}, name="large")
    done = hosts.head.search(str(config), "--results", str(shared), "--address", hosts.address)
    assert done.returncode == 2, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("resources: cpus_per_trial is 2: a trial runs on one host, and the")
    assert "the largest of 3, w1 (10.77.0.2), has 1. Ask for less with --set" in line
