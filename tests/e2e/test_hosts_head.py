"""The head of a cluster dies, is away for a while, or is started anew, while a search runs there."""

from __future__ import annotations

from pathlib import Path

from host_tasks import wait_until
from hosts import Host, cluster_of_hosts
from invariants import assert_nothing_lost
from programs import PROGRAM, Process, ended, named_command, wait_for_line, write_config
from tiny_tasks import search_config

from search.study.reading import read_records

ALONE = ["--num-cpus=1"]

_DIES_FOR_A_WHILE = """
pid=$(pgrep -x gcs_server)
mapfile -d '' command </proc/$pid/cmdline
mapfile -d '' variables </proc/$pid/environ
kill -KILL $pid
until [ -e "$0" ]; do sleep 0.1; done
exec env -i "${variables[@]}" "${command[@]}"
"""
"""The process with the head's tables, killed and started again when a file is there, as a supervisor does."""


def gated_search(folder: Path, virtual_epochs: int) -> Path:
    """A search of two trials, which train beyond a first virtual epoch while the folder has a file `go`."""
    return write_config(
        folder,
        task="host_tasks:GatedTask",
        trial=search_config()["trial"] | {"data": {"gate": str(folder / "go")}},
        budget={"trials": 2, "max_virtual_epochs": virtual_epochs},
        scheduler={"name": "none"},
    )


def begun(host: Host, config: Path, results: Path, address: str) -> Process:
    """A search on this host, whose two trials have had a virtual epoch and are in the next one."""
    search = host.start(*PROGRAM, str(config), "--results", str(results), "--address", address)
    wait_until(lambda: depths(results) == [1, 1] and len(virtual_epochs_begun(results)) == 4)
    return search


def virtual_epochs_begun(results: Path) -> list[str]:
    """Host and process of each."""
    file = results / "begun"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def depths(results: Path) -> list[int]:
    """Virtual epochs that each trial has reported."""
    journal = results / "digits" / "study.journal"
    return [record.depth for record in read_records(journal)] if journal.exists() else []


def test_a_dead_head_is_told_and_with_a_new_one_the_search_goes_on_where_it_was(tmp_path: Path) -> None:
    config = gated_search(tmp_path, 4)
    with cluster_of_hosts(ALONE, ALONE, shared=tmp_path) as hosts:
        workers, old = (hosts["w1"], hosts["w2"]), hosts.address
        search = begun(workers[0], config, tmp_path, old)
        hosts.head.kill()
        (silent,) = wait_for_line(search, "the cluster's head at")[-1:]
        assert f"{old} has not answered for 10 s: running virtual epochs go on" in silent
        output = ended(search, 1)
        assert "Traceback" not in output, output
        assert f"the cluster's head at {old} has not answered for 40 s; ending the search" in output
        log = (tmp_path / "digits" / "search.log").read_text(encoding="utf-8")
        assert log.count("the head has no answer for this search: ") == 1
        assert named_command(output) == ["resume", str(tmp_path / "digits"), "--address", old]
        for host in workers:
            host.run("ray", "stop", "--force")
        head = hosts.add("w3", shared=tmp_path)
        head.join(head, "--num-cpus=0")
        for host in workers:
            host.join(head, *ALONE)
        (tmp_path / "go").touch()
        done = head.search(str(config), "--results", str(tmp_path), "--address", f"{head.address}:6379")
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(virtual_epochs_begun(tmp_path)) == 2 * 4 + 2, "only those that were running are trained again"
    assert_nothing_lost(tmp_path / "digits")


def test_a_head_that_was_cut_off_for_a_while_ends_no_search_and_one_that_was_started_anew_does(
    tmp_path: Path,
) -> None:
    config = gated_search(tmp_path, 1000)
    with cluster_of_hosts(ALONE, ALONE, shared=tmp_path) as hosts:
        search = begun(hosts["w1"], config, tmp_path, hosts.address)
        hosts.cut(hosts.head)
        wait_for_line(search, "has not answered for 10 s")
        hosts.heal(hosts.head)
        wait_for_line(search, f"the cluster's head at {hosts.address} answers again: the search goes on")
        before = depths(tmp_path)
        (tmp_path / "go").touch()
        wait_until(lambda: depths(tmp_path) > before)
        (tmp_path / "go").unlink()

        hosts.head.run("ray", "stop", "--force")
        hosts.head.join(hosts.head, "--num-cpus=0")
        output = ended(search, 1)
        assert f"head at {hosts.address} was started anew, and does not know this search" in output
        assert "Traceback" not in output, output


def test_a_head_whose_tables_are_in_redis_is_started_again_and_the_search_goes_on(tmp_path: Path) -> None:
    config = gated_search(tmp_path, 4)
    with cluster_of_hosts(ALONE, ALONE, shared=tmp_path, redis=True) as hosts:
        search = begun(hosts["w1"], config, tmp_path, hosts.address)
        again = hosts.head.start("bash", "-c", _DIES_FOR_A_WHILE, str(tmp_path / "told"))
        wait_for_line(search, "has not answered for 10 s")
        (tmp_path / "told").touch()
        wait_for_line(search, "answers again: the search goes on")
        (tmp_path / "go").touch()
        ended(search, 0)
        again.kill()
    assert len(virtual_epochs_begun(tmp_path)) == 2 * 4, "none is trained again"
    assert_nothing_lost(tmp_path / "digits")
