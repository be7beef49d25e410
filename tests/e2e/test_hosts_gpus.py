"""Trials that share the GPUs of a host, which are only declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hosts import cluster_of_hosts
from programs import write_config
from tiny_tasks import search_config


def test_fewer_trials_than_fit_are_spread_over_all_gpus(tmp_path: Path) -> None:
    folder = tmp_path / "devices"
    folder.mkdir()
    sections: dict[str, Any] = {
        "task": "host_tasks:DevicesTask",
        "trial": search_config()["trial"] | {"data": {"folder": str(folder), "trials": 2}},
        "budget": {"trials": 2, "max_virtual_epochs": 1},
        "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0.25, "concurrent_trials": 2},
    }
    config = write_config(tmp_path, **sections)
    with cluster_of_hosts(shared=tmp_path, head=["--num-cpus=2", "--num-gpus=2"]) as hosts:
        done = hosts.head.search(str(config), "--results", str(tmp_path), "--address", hosts.address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {file.name.partition("-")[0] for file in folder.iterdir()} == {"0", "1"}
