"""Faults 35 to 37: signals to all processes of a search, and the death of Ray's own under it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_runs import held, sections_with, wait_until_one_is_held
from in_process import search_locally
from invariants import assert_nothing_lost, assert_same_search
from patience import PATIENCE
from programs import (
    PROGRAM,
    WINDING_DOWN,
    Process,
    ended,
    named_command,
    no_process_left,
    printed_command,
    processes_of,
    start,
    wait_for_line,
    write_config,
)
from tiny_tasks import search_config

from search.study.reading import read_records
from search.study.study import JOURNAL
from trainables.checkpoints.checkpoint import list_checkpoints

RAY = ("gcs_server", "raylet")


def test_a_signal_to_the_whole_group_lets_the_running_virtual_epochs_end_and_loses_nothing(
    tmp_path: Path, program: Callable[..., Process]
) -> None:
    hold, results = tmp_path / "hold", tmp_path / "disturbed"
    sections = sections_with(hold)
    command = (str(write_config(tmp_path, **sections)), "--results", str(results))
    folder = results / "digits"

    first = program(*command)
    wait_for_line(first, "trial 0 started")
    with held(hold):
        wait_until_one_is_held(hold)
        os.killpg(first.pid, signal.SIGTERM)
        wait_for_line(first, WINDING_DOWN)
    output = ended(first, 143)
    assert "search terminated: SIGTERM" in output
    everything_reported_is_saved(folder)

    second = program(*printed_command(output))
    wait_for_line(second, "trial 2 virtual epoch 1/")
    with held(hold):
        wait_until_one_is_held(hold)
        os.killpg(second.pid, signal.SIGTERM)
        wait_for_line(second, WINDING_DOWN)
        os.killpg(second.pid, signal.SIGTERM)
        ended(second, 130)
    no_process_left(tmp_path)

    third = program(*command)
    wait_for_line(third, "trial 4 virtual epoch 1/")
    with held(hold):
        wait_until_one_is_held(hold)
        os.killpg(third.pid, signal.SIGHUP)  # as a terminal does it that is closed
        third.wait(timeout=PATIENCE)
    third.communicate(timeout=PATIENCE)
    assert third.returncode == -signal.SIGHUP
    no_process_left(tmp_path)

    ended(program(*command), 0)
    as_undisturbed(tmp_path, folder, hold)


def test_a_search_whose_ray_dies_ends_with_the_cause_and_the_way_out_and_loses_nothing(
    tmp_path: Path, program: Callable[..., Process]
) -> None:
    hold, results = tmp_path / "hold", tmp_path / "disturbed"
    process = program(str(write_config(tmp_path, **sections_with(hold))), "--results", str(results))
    folder = results / "digits"

    for trial, name in zip((1, 3), RAY, strict=True):
        wait_for_line(process, f"trial {trial} started")
        with held(hold):
            wait_until_one_is_held(hold)
            (victim,) = ray_processes(tmp_path, name)
            os.kill(victim, signal.SIGKILL)
            output = ended(process, 1)
        assert f"Ray's {name} was ended by SIGKILL: " in output
        no_process_left(tmp_path)
        process = program(*named_command(output))

    wait_for_line(process, "trial 5 started")
    for pid in processes_of(tmp_path):
        os.kill(pid, signal.SIGTERM)  # as systemd and Slurm may do it: to every process
    process.communicate(timeout=PATIENCE)
    assert process.returncode in (1, 143)  # 1 where Ray's C++ code ends it, without a word
    no_process_left(tmp_path)

    ended(program("resume", str(folder)), 0)
    as_undisturbed(tmp_path, folder, hold)


def test_a_search_that_ignores_the_end_of_its_terminal_goes_on(tmp_path: Path) -> None:
    hold, results = tmp_path / "hold", tmp_path / "results"
    config = write_config(tmp_path, **sections_with(hold))
    process = start(tmp_path, ["nohup", *PROGRAM, str(config), "--results", str(results)])
    wait_for_line(process, "trial 0 started")
    os.killpg(process.pid, signal.SIGHUP)
    ended(process, 0)
    assert_nothing_lost(results / "digits")
    no_process_left(tmp_path)


@pytest.mark.parametrize("name", RAY)
def test_the_end_does_not_wait_for_a_ray_that_has_died_after_its_last_trial(
    tmp_path: Path, name: str
) -> None:
    process = start(tmp_path, [*PROGRAM[:2], AFTER_THE_LAST_TRIAL])
    wait_for_line(process, "ready")
    (victim,) = ray_processes(tmp_path, name)
    os.kill(victim, signal.SIGKILL)
    begun = time.monotonic()
    assert "closed" in ended(process, 0)  # Ray would have ended it with 1, after a minute
    assert time.monotonic() - begun < 50
    no_process_left(tmp_path)


AFTER_THE_LAST_TRIAL = """
import time
from search.ray.dead import exit_if_crippled
from search.ray.session import RaySession

session = RaySession()
session.wait_until_ready()
print("ready", flush=True)
while not session.death():
    time.sleep(0.05)
session.close()
print("closed")
exit_if_crippled(0)
"""


def ray_processes(folder: Path, name: str) -> list[int]:
    return [pid for pid in processes_of(folder) if Path(f"/proc/{pid}/comm").read_text().strip() == name]


def as_undisturbed(tmp_path: Path, folder: Path, hold: Path) -> None:
    calm = search_locally(search_config(**sections_with(hold)), results=tmp_path / "calm")
    assert_same_search(Path(calm.folder), folder, calm.best.checkpoint)
    assert_nothing_lost(folder)
    no_process_left(tmp_path)


def everything_reported_is_saved(folder: Path) -> None:
    for record in read_records(folder / JOURNAL):
        if record.outcome is None and record.values:
            newest = list_checkpoints(folder / "trials" / f"{record.number:04d}")[-1]
            assert newest == record.depth, record.number
