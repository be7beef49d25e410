"""Hosts that lack what trials need are named before any trial starts, and left out on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from host_tasks import write_digits
from hosts import cluster_of_hosts, program_folders
from invariants import assert_nothing_lost
from programs import write_config
from tiny_tasks import search_config

ALONE = ["--num-cpus=1"]


def test_hosts_that_lack_something_are_named_with_it_or_left_out(tmp_path: Path) -> None:
    write_digits(tmp_path / "data")
    results = tmp_path / "results"
    results.mkdir()
    sections: dict[str, Any] = {
        "task": "host_tasks:FolderTask",
        "trial": search_config()["trial"] | {"data": {"root": str(tmp_path / "data")}},
        "budget": {"trials": 3, "max_virtual_epochs": 2},
    }
    config = write_config(tmp_path, **sections)
    with cluster_of_hosts(ALONE, ALONE, ALONE, shared=tmp_path) as hosts:
        hosts["w2"].hide(str(results), str(tmp_path / "data"))
        hosts["w3"].hide(*program_folders())
        command = [str(config), "--results", str(results), "--address", hosts.address]
        refused = hosts.head.search(*command)
        assert refused.returncode == 1, refused.stdout + refused.stderr
        assert "looking at 3 hosts" in refused.stdout
        (line,) = refused.stderr.splitlines()
        bare = f"lacks the data {tmp_path}/data, the results folder {results}/digits of this search: No such"
        assert f"w2 (10.77.0.3) {bare}" in line
        assert "w3 (10.77.0.4) lacks this program: ModuleNotFoundError: No module named" in line
        assert line.endswith("or leave such hosts out with --skip-bad-nodes")
        assert "w1 (" not in line
        assert not list((results / "digits").glob("trials/*"))
        assert not list((results / "digits").glob(".[!o]*"))

        done = hosts.head.search(*command, "--skip-bad-nodes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"left out: w2 (10.77.0.3) {bare}" in done.stdout
        assert "1 at a time" in done.stdout
        hosted = {file.name.split(".")[4] for file in results.glob("digits/trials/*/events.out.*")}
        assert hosted == {"w1"}
    assert_nothing_lost(results / "digits")
