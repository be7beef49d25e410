"""Searches on a cluster of hosts that share one folder and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_tasks import wait_until
from hosts import Hosts, cluster_of_hosts
from invariants import assert_nothing_lost
from programs import PROGRAM, WINDING_DOWN, ended, wait_for_line, write_config
from tiny_tasks import search_config

from search.study.reading import read_records
from search.study.trial import NO_VERDICT

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


def test_a_trial_that_fails_is_tried_again_on_another_host_and_the_first_one_is_named(
    hosts: Hosts, shared: Path
) -> None:
    sections: dict[str, Any] = {
        "task": "host_tasks:BrokenHostTask",
        "trial": search_config()["trial"]
        | {"data": {"broken": "w1", "folder": str(shared), "until": "tried"}},
        "budget": {"trials": 4, "max_virtual_epochs": 2},
        "name": "cursed",
    }
    config = write_config(shared, **sections)
    done = hosts.head.search(str(config), "--results", str(shared), "--address", hosts.address)
    assert done.returncode == 0, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if "this host is cursed" in line]
    assert failed
    assert all(line.endswith("(on w1 (10.77.0.2))") for line in failed), failed
    records = read_records(shared / "cursed" / "study.journal")
    assert [record.outcome for record in records if record.outcome in NO_VERDICT] == []
    assert max(len(record.failures) for record in records) == 1


def test_a_job_that_waits_for_another_host_than_it_failed_on_takes_that_when_no_other_is_left(
    tmp_path: Path,
) -> None:
    data = {"broken": "w1", "folder": str(tmp_path), "once": True, "until": "never"}
    sections: dict[str, Any] = {
        "task": "host_tasks:BrokenHostTask",
        "trial": search_config()["trial"] | {"data": data},
        "budget": {"trials": 2, "max_virtual_epochs": 1},
    }
    config = write_config(tmp_path, **sections)
    with cluster_of_hosts(ALONE, ALONE, shared=tmp_path) as hosts:
        search = hosts.head.start(
            *PROGRAM, str(config), "--results", str(tmp_path), "--address", hosts.address
        )
        wait_for_line(search, "this host is cursed (on w1 (10.77.0.2))")
        hosts["w2"].kill()  # where the other trial runs, for which the first one waits
        wait_for_line(search, "w2 (10.77.0.3) is lost: 1 trial at a time")
        ended(search, 0)
    (tmp_path / "never").touch()  # the best trial is evaluated here
    assert_nothing_lost(tmp_path / "digits")


def test_with_no_host_left_the_search_ends_at_once_when_it_is_interrupted(tmp_path: Path) -> None:
    sections = meeting(tmp_path / "met", hosts=9, max_failures=9)
    config = write_config(tmp_path, **sections)
    with cluster_of_hosts(ALONE, shared=tmp_path) as hosts:
        search = hosts.head.start(
            *PROGRAM, str(config), "--results", str(tmp_path), "--address", hosts.address
        )
        wait_for_line(search, "trial 0 started")
        wait_until((tmp_path / "met" / "w1").exists)
        hosts["w1"].kill()
        wait_for_line(search, "w1 (10.77.0.2) is lost: no host is left for a trial")
        pid = json.loads((tmp_path / "digits" / ".owner.json").read_text())["pid"]
        assert hosts.head.run("sh", "-c", f"kill -INT {pid}").returncode == 0
        output = ended(search, 130)
        assert WINDING_DOWN in output
    (record,) = read_records(tmp_path / "digits" / "study.journal")
    assert [failure.cause for failure in record.failures] == ["the trial's process died"]


def test_a_forecast_on_a_cluster_trains_on_its_hosts(hosts: Hosts, shared: Path) -> None:
    config = write_config(shared, name="forecast")
    done = hosts.head.search(
        "plan", str(config), "--address", hosts.address, "--probe", "30s", cwd=str(shared)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 trials" in done.stdout
    assert not list(shared.glob("tune-search-plan-*"))


def test_hosts_that_join_are_used_at_once_and_lost_ones_are_not_counted(tmp_path: Path) -> None:
    sections = meeting(tmp_path / "met", hosts=4, resources={"cpus_per_trial": 1, "concurrent_trials": 2})
    config = write_config(tmp_path, **sections)
    with cluster_of_hosts(shared=tmp_path) as hosts:
        search = hosts.head.start(
            *PROGRAM, str(config), "--results", str(tmp_path), "--address", hosts.address
        )
        wait_for_line(search, "no host has what a trial asks for: waiting for hosts to join")
        hosts.add("w1", shared=tmp_path).join(hosts.head, *ALONE)
        wait_for_line(search, "1 at a time")
        wait_for_line(search, "trial 0 started")
        wait_until((tmp_path / "met" / "w1").exists)
        hosts.add("w2", shared=tmp_path).join(hosts.head, *ALONE)
        wait_for_line(search, "w2 (10.77.0.3) has joined: 2 trials at a time")
        wait_until((tmp_path / "met" / "w2").exists)
        hosts["w1"].kill()
        wait_for_line(search, "w1 (10.77.0.2) is lost: 1 trial at a time")
        hosts.add("w3", shared=tmp_path).join(hosts.head, *ALONE)
        wait_for_line(search, "w3 (10.77.0.4) has joined: 2 trials at a time")
        (tmp_path / "met" / "the last one").touch()
        ended(search, 0)
    assert_nothing_lost(tmp_path / "digits")
