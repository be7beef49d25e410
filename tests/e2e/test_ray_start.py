"""Ray begins in the background while a search is made ready; nothing of it is left behind, whatever comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE
from programs import Process, no_process_left, processes_of, start, wait_for_line, write_config

from search.errors import SearchError
from search.ray.session import LocalRay, RaySession

HELD_TASK = """
import time

print("importing the task", flush=True)
while True:
    time.sleep(0.05)
"""
"""A user's module whose import takes for ever: Ray has begun before it.

Not `signal.pause()`: Python would not hear a signal that comes while the thread waits for the interpreter's
lock right before it, which the threads of a Ray that starts hold for long.
"""


def interrupted_while_ray_starts(
    folder: Path, program: Callable[..., Process], number: int, send: Callable[[int, int], None] = os.kill
) -> Process:
    (folder / "held_task.py").write_text(HELD_TASK)
    config = write_config(folder, task="held_task:HeldDigitsTask")
    process = program(str(config), "--results", str(folder / "results"), cwd=folder)
    wait_for_line(process, "importing the task")
    send(process.pid, number)
    process.output = process.communicate(timeout=PATIENCE)[0]  # type: ignore[attr-defined]
    return process


def nothing_is_left(folder: Path, process: Process) -> None:
    no_process_left(folder)
    assert not list(Path("/tmp").glob(f"tune-search-{os.getuid()}-*/session_*_{process.pid}"))
    assert not (folder / "results").exists()


def test_ctrl_c_while_ray_starts_leaves_nothing_behind(tmp_path: Path, program: Any) -> None:
    process = interrupted_while_ray_starts(tmp_path, program, signal.SIGINT)
    assert process.returncode == 130
    assert process.output.strip() == "interrupted"
    nothing_is_left(tmp_path, process)


def test_sigterm_while_ray_starts_leaves_nothing_behind(tmp_path: Path, program: Any) -> None:
    process = interrupted_while_ray_starts(tmp_path, program, signal.SIGTERM)
    assert process.returncode == 143
    assert process.output.splitlines()[-1] == "interrupted"
    nothing_is_left(tmp_path, process)


def test_sigterm_to_the_group_while_ray_starts_leaves_nothing_behind(tmp_path: Path, program: Any) -> None:
    process = interrupted_while_ray_starts(tmp_path, program, signal.SIGTERM, os.killpg)
    assert process.returncode == 143
    nothing_is_left(tmp_path, process)


def test_a_configuration_refused_while_ray_starts_leaves_nothing_behind(tmp_path: Path, program: Any) -> None:
    config = write_config(tmp_path, trial={"optimizer": {"name": "adamm", "lr": 0.1}})
    process = program(str(config), "--results", str(tmp_path / "results"))
    output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 2
    (line,) = output.splitlines()
    assert "trial.optimizer.name: optimizer 'adamm' is not" in line
    nothing_is_left(tmp_path, process)


def test_no_ray_begins_for_a_configuration_with_a_wrong_section() -> None:
    from tiny_tasks import search_config

    from search.config.stages import load_config
    from search.errors import ConfigError

    begun: list[bool] = []
    load_config(search_config(), before_task=lambda: begun.append(True))
    assert begun == [True]
    with pytest.raises(ConfigError):
        load_config(search_config(budget={"trials": 0}), before_task=lambda: begun.append(True))
    assert len(begun) == 1


def test_the_ray_of_this_process_is_used_and_stays(ray_session: None) -> None:
    import ray

    session = RaySession()
    session.begin()
    session.wait_until_ready()
    session.close()
    assert ray.is_initialized()


LATE_ONCE = """
import sys

from ray._private import services

from search.ray.session import RaySession

calls, get_node = [], services.get_node


def late(*args, **kwargs):
    calls.append(args)
    if len(calls) == 1:
        raise Exception("The current node timed out during startup. This could happen because ...")
    return get_node(*args, **kwargs)


services.get_node = late
session = RaySession()
session.wait_until_ready()
print("ready", session.hosts()[0].resources["CPU"] > 0, flush=True)
sys.stdin.readline()
session.close()
"""


def test_a_ray_that_does_not_come_up_in_time_is_started_once_more(tmp_path: Path) -> None:
    process = start(tmp_path, [sys.executable, "-c", LATE_ONCE], stdin=subprocess.PIPE)
    shown = wait_for_line(process, "ready True")
    assert any("it is started once more" in line for line in shown)
    assert [name for name in processes_of(tmp_path).values() if "raylet/raylet" in name][1:] == []
    process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0
    no_process_left(tmp_path)


def test_what_keeps_ray_from_starting_is_told_by_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc/not-there")
    monkeypatch.setattr(LocalRay, "_start_ray", refuse)
    local = LocalRay()
    local.start()
    with pytest.raises(SearchError, match="Ray could not be started: no room"):
        local.wait()
    local.end()


def refuse(self: LocalRay, folder: str | None) -> None:
    raise RuntimeError("no room")


def test_help_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys\nfrom search.cli.main import main\n"
        "try: main(['--help'])\nfinally: print('\\nMODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in done.stdout.partition("MODULES")[2].split()}
    assert "click" in modules
    assert not modules & {"torch", "ray", "numpy", "pydantic", "optuna", "rich"}
