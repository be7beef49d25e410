"""The hosts that tests are made on: they share what a test shares, can be cut off, die and join."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory

import pytest
from hosts import Host, Hosts, cluster_of_hosts, require_namespaces
from lacking_file_system import lacking
from patience import PATIENCE


def reaches(host: Host, other: Host) -> bool:
    """Whether a connection to the head's Ray comes about."""
    code = f"import socket; socket.create_connection(({other.address!r}, 6379), 2)"
    return host.run(sys.executable, "-c", code).returncode == 0


def wait_until_reached(host: Host, other: Host) -> None:
    """A bridge takes a moment to learn where its ports lead to."""
    deadline = time.monotonic() + PATIENCE
    while not reaches(host, other):
        assert time.monotonic() < deadline


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

        wait_until_reached(worker, hosts.head)
        hosts.cut(worker)
        assert not reaches(worker, hosts.head)
        hosts.heal(worker)
        wait_until_reached(worker, hosts.head)

        hosts.add("w2").join(hosts.head, "--num-cpus=1")
        wait_for_living(hosts, {"head", "w1", "w2"})
        worker.kill()
        wait_for_living(hosts, {"head", "w2"})


def test_a_host_sees_the_environment_that_tests_run_in_also_below_its_own_folders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_namespaces()
    with TemporaryDirectory(dir="/tmp") as prefix:
        Path(prefix, "file").write_text("word\n")
        monkeypatch.setattr(sys, "prefix", prefix)
        hosts = Hosts()
        try:
            assert hosts.add("head").run("cat", f"{prefix}/file").stdout == "word\n"
        finally:
            hosts.close()


def test_where_hosts_cannot_be_made_their_tests_are_skipped_with_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_namespaces()
    mount = tmp_path / "mount"
    refusing = 'case "$*" in *proc*) echo no proc >&2; exit 1;; esac'
    mount.write_text(f'#!/bin/sh\n{refusing}\nexec {which("mount")} "$@"\n')
    mount.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(pytest.skip.Exception, match="not allowed here: no proc"):
        require_namespaces()
    for tool in ("ip", "unshare", "nsenter", "bash"):
        (tmp_path / tool).symlink_to(which(tool))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="hosts need hostname "):
        require_namespaces()


def test_where_the_compiler_lacks_headers_its_tests_are_skipped_with_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "gcc"
    compiler.write_text("#!/bin/sh\necho stdio.h: No such file >&2\nexit 1\n")
    compiler.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=r"gcc does not compile here.*: stdio.h: No such file"):
        lacking(tmp_path / "build", tmp_path)
