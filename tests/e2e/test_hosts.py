"""The hosts that tests are made on: they share what a test shares, can be cut off, die and join."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hosts import Host, Hosts, cluster_of_hosts
from patience import PATIENCE


def reaches(host: Host, other: Host) -> bool:
    """Whether a connection to the head's Ray comes about."""
    code = f"import socket; socket.create_connection(({other.address!r}, 6379), 2)"
    return host.run(sys.executable, "-c", code).returncode == 0


def wait_for_living(hosts: Hosts, names: set[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while (living := hosts.living()) != names:
        assert time.monotonic() < deadline, living


def test_hosts_share_what_a_test_shares_and_are_cut_off_die_and_join(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "own").mkdir()
    with cluster_of_hosts(["--num-cpus=1"], shared=tmp_path / "shared") as hosts:
        worker = hosts["w1"]
        assert worker.run("sh", "-c", f"hostname; echo word >{tmp_path}/shared/file").stdout == "w1\n"
        assert (tmp_path / "shared" / "file").read_text() == "word\n"
        assert hosts.head.run("cat", f"{tmp_path}/shared/file").stdout == "word\n"
        assert worker.run("ls", str(tmp_path)).stdout == "shared\n"
        worker.run("touch", "/tmp/mine")
        assert hosts.head.run("ls", "/tmp/mine").returncode != 0
        assert not Path("/tmp/mine").exists()
        assert worker.share(tmp_path / "shared", "/tmp/elsewhere") == "/tmp/elsewhere"
        assert worker.run("cat", "/tmp/elsewhere/file").stdout == "word\n"
        worker.hide(str(tmp_path / "shared"))
        assert worker.run("ls", str(tmp_path / "shared")).stdout == ""

        assert reaches(worker, hosts.head)
        hosts.cut(worker)
        assert not reaches(worker, hosts.head)
        hosts.heal(worker)
        assert reaches(worker, hosts.head)

        hosts.add("w2").join(hosts.head, "--num-cpus=1")
        wait_for_living(hosts, {"head", "w1", "w2"})
        worker.kill()
        wait_for_living(hosts, {"head", "w2"})
