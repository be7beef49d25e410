"""Trials that share GPUs, which are only declared."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hosts import cluster_of_hosts
from patience import PATIENCE
from programs import HELPERS, PROGRAM, ended, write_config
from tiny_tasks import search_config

_ON_TWO_GPUS = """
import sys
import ray
import search
ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False)
search.search(sys.argv[1], results=sys.argv[2])
"""


def sharing(folder: Path, trials: int) -> dict[str, Any]:
    """A search of trials that each need a quarter of a GPU, and end when so many have met in a folder."""
    folder.mkdir(exist_ok=True)
    return {
        "task": "host_tasks:DevicesTask",
        "trial": search_config()["trial"] | {"data": {"folder": str(folder), "trials": 2}},
        "budget": {"trials": trials, "max_virtual_epochs": 1},
        "resources": {"cpus_per_trial": 1, "gpus_per_trial": 0.25, "concurrent_trials": trials},
    }


def devices(folder: Path) -> set[str]:
    """The GPUs that trials have seen."""
    return {file.name.partition("-")[0] for file in folder.iterdir()}


def test_fewer_trials_than_fit_are_spread_over_all_gpus(tmp_path: Path) -> None:
    config = write_config(tmp_path, **sharing(tmp_path / "devices", 2))
    command = [sys.executable, "-c", _ON_TWO_GPUS, str(config), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HELPERS, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert devices(tmp_path / "devices") == {"0", "1"}


def test_two_searches_share_a_gpu_of_a_cluster(tmp_path: Path) -> None:
    config = write_config(tmp_path, **sharing(tmp_path / "devices", 1))
    with cluster_of_hosts(shared=tmp_path, head=["--num-cpus=2", "--num-gpus=1"]) as hosts:
        command = [*PROGRAM, str(config), "--results", str(tmp_path), "--address", hosts.address, "--name"]
        for search in [hosts.head.start(*command, name) for name in ("first", "second")]:
            ended(search, 0)
    assert devices(tmp_path / "devices") == {"0"}
