"""Faults 30 and 31: a Ray that somebody else runs, and a machine of a cluster that is lost."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from invariants import assert_nothing_lost
from patience import PATIENCE
from programs import HELPERS, Process, no_process_left, processes_of, start, write_config

from search.errors import SearchError
from search.ray.session import RaySession


@pytest.fixture(autouse=True)
def own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This user has a token of Ray's, and nothing is said about whether it is to be used."""
    file = tmp_path / "token"
    file.write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)


@contextmanager
def strangers_ray(folder: Path, session: Path) -> Iterator[str]:
    """A Ray that asks for the token and has seven GPUs, which are only declared; gives its address."""
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--port=0", "--num-cpus=1"]
    command += ["--num-gpus=7", "--include-dashboard=false", f"--temp-dir={session}"]
    process = start(folder, command)
    try:
        output = process.communicate(timeout=PATIENCE)[0]
        found = re.search(r"--address='([^']+)'", output)
        assert found, output
        yield found[1]
    finally:
        for pid in processes_of(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def session() -> Iterator[Path]:
    """A folder for a session of Ray's, which puts sockets there; their paths must be short."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        yield Path(folder)


# 30


def test_a_strangers_ray_is_joined_only_when_its_address_is_given(
    tmp_path: Path, session: Path, program: Callable[..., Process]
) -> None:
    config = write_config(
        tmp_path, resources={"gpus_per_trial": 1}, budget={"trials": 2, "max_virtual_epochs": 1}
    )
    command = (str(config), "--results", str(tmp_path))
    with strangers_ray(tmp_path, session) as address:
        # It is the one that Ray takes of its own accord.
        env = {"RAY_ADDRESS": address, "CUDA_VISIBLE_DEVICES": ""}
        alone = program(*command, env=env)
        output = alone.communicate(timeout=PATIENCE)[0]
        assert alone.returncode == 2, output
        assert "gpus_per_trial is 1, there are 0" in output
        joined = program(*command, "--address", address, env=env)
        output = joined.communicate(timeout=PATIENCE)[0]
        assert joined.returncode == 0, output
        assert any("raylet" in name for name in processes_of(tmp_path).values())
    assert_nothing_lost(tmp_path / "digits")
    no_process_left(tmp_path)


def test_an_address_where_nobody_listens_is_one_error_at_once() -> None:
    with socket.socket() as bound:  # which does not listen
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(SearchError, match=rf"Ray could not be reached at {address}: .*refused; give the"):
            RaySession(address).wait_until_ready()


# 31


def test_the_trial_of_a_lost_machine_goes_on_elsewhere(tmp_path: Path, session: Path) -> None:
    """On a cluster that asks for no token, although there is one."""
    sections: dict[str, Any] = {
        "virtual_epoch": {"steps": 40},
        "budget": {"trials": 4, "max_virtual_epochs": 4},
        "scheduler": {"name": "none"},
    }
    config = write_config(tmp_path, **sections)
    command = [sys.executable, str(HELPERS / "lost_machine.py"), str(config), str(tmp_path)]
    process = start(tmp_path, command, env={"RAY_TMPDIR": str(session)})
    output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, output
    lines = output.splitlines()
    assert lines.count("lost trial 0") == 1, output
    assert [line for line in lines if line.startswith("lost trial ")] == ["lost trial 0"]
    (before,) = (line for line in lines if line.startswith("trial 0 ends virtual epoch 2 on "))
    (after,) = (line for line in lines if line.startswith("trial 0 ends virtual epoch 4 on "))
    assert before.split()[-1] != after.split()[-1]
    assert_nothing_lost(tmp_path / "digits")
    no_process_left(tmp_path)
