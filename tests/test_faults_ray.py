"""Faults 30 and 31: a Ray that somebody else runs, and a machine of a cluster that is lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from conftest import SESSIONS
from invariants import assert_nothing_lost, no_process_left, processes_of
from test_cli import write_config

Process = subprocess.Popen[str]


@contextmanager
def strangers_ray(folder: Path) -> Iterator[str]:
    """A Ray with seven GPUs, which are only declared; gives its address."""
    # Sockets have short paths.
    session = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--port=0", "--num-cpus=1"]
    command += ["--num-gpus=7", "--include-dashboard=false", f"--temp-dir={session}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    SESSIONS[folder].append(process.pid)
    try:
        output = process.communicate(timeout=120)[0]
        found = re.search(r"--address='([^']+)'", output)
        assert found, output
        yield found[1]
    finally:
        for pid in processes_of(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(session, ignore_errors=True)


def test_a_strangers_ray_is_joined_only_when_its_address_is_given(
    tmp_path: Path, program: Callable[..., Process]
) -> None:
    config = write_config(
        tmp_path, resources={"gpus_per_trial": 1}, budget={"trials": 2, "virtual_epochs": 1}
    )
    command = (str(config), "--results", str(tmp_path))
    with strangers_ray(tmp_path) as address:
        # It is the one that Ray takes by itself.
        env = {"RAY_ADDRESS": address, "CUDA_VISIBLE_DEVICES": ""}
        alone = program(*command, env=env)
        output = alone.communicate(timeout=120)[0]
        assert alone.returncode == 1, output
        assert "gpus_per_trial is 1, there are 0" in output
        joined = program(*command, "--address", address, env=env)
        output = joined.communicate(timeout=120)[0]
        assert joined.returncode == 0, output
        assert any("raylet" in command for command in processes_of(tmp_path).values())
    assert_nothing_lost(tmp_path / "digits")
    no_process_left(tmp_path)
