"""Hosts that are to be taken away: what runs there ends with its virtual epoch, and goes on elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from host_tasks import wait_until
from hosts import Hosts, cluster_of_hosts
from invariants import assert_nothing_lost
from programs import PROGRAM, Process, ended, wait_for_line, write_config
from tiny_tasks import search_config

from search.study.reading import read_records

ALONE = ["--num-cpus=1"]


def drain(hosts: Hosts, name: str) -> None:
    """Say on the host that it is to be taken away in 15 minutes, as a cloud's hook does."""
    options = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a notice"]
    options += ["--deadline-remaining-seconds", "900"]
    done = hosts[name].run("ray", "drain-node", "--address", hosts.address, *options)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def search_on_w1(folder: Path) -> Iterator[tuple[Hosts, Process]]:
    """A search of one trial, of which no attempt may fail; it is in its second virtual epoch when w2 joins.

    That and later ones end when the folder's file `go` is there.
    """
    config = write_config(
        folder,
        task="host_tasks:GatedTask",
        trial=search_config()["trial"] | {"data": {"gate": str(folder / "go")}},
        budget={"trials": 1, "max_virtual_epochs": 4},
        scheduler={"name": "none"},
        max_failures=0,
    )
    with cluster_of_hosts(ALONE, shared=folder) as hosts:
        command = [*PROGRAM, str(config), "--results", str(folder), "--address", hosts.address]
        search = hosts.head.start(*command)
        wait_until(lambda: len(begun_on(folder)) == 2)
        hosts.add("w2", shared=folder).join(hosts.head, *ALONE)
        wait_for_line(search, "w2 (10.77.0.3) has joined")
        yield hosts, search


def begun_on(folder: Path) -> list[str]:
    """Host of each virtual epoch."""
    file = folder / "begun"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [line.split()[0] for line in lines]


def test_a_trial_on_a_host_that_is_leaving_ends_its_virtual_epoch_and_goes_on_elsewhere(
    tmp_path: Path,
) -> None:
    with search_on_w1(tmp_path) as (hosts, search):
        drain(hosts, "w1")
        wait_for_line(search, "w1 (10.77.0.2) is leaving: 1 trial at a time")
        (tmp_path / "go").touch()
        output = ended(search, 0)
        assert "resumed" in output
        assert "lost" not in output
    assert begun_on(tmp_path) == ["w1", "w1", "w2", "w2"], "none is trained again"
    (record,) = read_records(tmp_path / "digits" / "study.journal")
    assert record.failures == []
    assert_nothing_lost(tmp_path / "digits")


def test_a_host_that_ends_without_a_notice_costs_its_trial_no_attempt(tmp_path: Path) -> None:
    with search_on_w1(tmp_path) as (hosts, search):
        hosts["w1"].run("ray", "stop")  # SIGTERM to Ray's process, as where a system ends all of a machine's
        wait_for_line(search, "its host was taken away: received SIGTERM (on w1 (10.77.0.2))")
        (tmp_path / "go").touch()
        ended(search, 0)
    (record,) = read_records(tmp_path / "digits" / "study.journal")
    assert [failure.kind for failure in record.failures] == ["host lost"]
    assert_nothing_lost(tmp_path / "digits")
