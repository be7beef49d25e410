"""Faults 12 to 17: killed, interrupted, terminated and begun twice, a search ends as if nothing had been."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import wait_for_line
from faulty_runs import held, wait_until_one_is_held
from invariants import assert_nothing_lost, no_process_left
from test_chaos import assert_same_search
from test_cli import run, write_config
from tiny_tasks import search_config

import search
from search.study.study import JOURNAL, read_records
from trainables.checkpoint import list_checkpoints

Process = subprocess.Popen[str]
WINDING_DOWN = "finishing and saving the running virtual epochs"


def test_killed_interrupted_and_terminated_a_search_ends_as_if_nothing_had_been(
    tmp_path: Path, program: Callable[..., Process], ray_session: None
) -> None:
    hold, results = tmp_path / "hold", tmp_path / "disturbed"
    sections = sections_with(hold)
    command = (str(write_config(tmp_path, **sections)), "--results", str(results))
    folder = results / "digits"

    with held(hold):
        first = program(*command)
        killed_before_the_first_report(first)
        second = program(*command)
        lines = wait_for_line(second, "trial 0 started")
        assert any(f"taking over from a search that has died (process {first.pid} on " in x for x in lines)
        a_second_search_is_refused(command, second.pid)
        wait_until_one_is_held(hold)
        # As a terminal does it: to the whole group, in which Ray's processes are too.
        os.killpg(second.pid, signal.SIGINT)
        wait_for_line(second, WINDING_DOWN)
    output = ended(second, 130)
    assert depths(folder) == [1]
    everything_reported_is_saved(folder)

    third = program(*printed_command(output))
    wait_for_line(third, "trial 2 virtual epoch 1/")
    with held(hold):
        wait_until_one_is_held(hold)  # and nothing is being printed, into which a signal may come
        os.killpg(third.pid, signal.SIGINT)
        wait_for_line(third, WINDING_DOWN)
        os.killpg(third.pid, signal.SIGINT)
        ended(third, 130)

    fourth = program(*command)
    wait_for_line(fourth, "trial 4 virtual epoch 1/")
    with held(hold):
        wait_until_one_is_held(hold)
        before = depths(folder)
        fourth.send_signal(signal.SIGTERM)
        wait_for_line(fourth, WINDING_DOWN)
    assert "search terminated: SIGTERM" in ended(fourth, 143)
    assert json.loads((folder / "summary.json").read_text())["status"] == "terminated"
    assert sum(depths(folder)) > sum(before)
    everything_reported_is_saved(folder)

    output = ended(program(*command), 0)
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", output)
    calm = search.search(search_config(**sections), results=tmp_path / "calm")
    assert_same_search(Path(calm.folder), folder, calm.best.checkpoint)
    assert_nothing_lost(folder)
    no_process_left(tmp_path)


def sections_with(hold: Path) -> dict[str, Any]:
    """One trial at a time, so that two searches can be compared."""
    hold.touch()
    return {
        "task": "faulty_runs:HeldTask",
        "trial": {
            "data": {"hold": str(hold)},
            "model": {"hidden": {"choice": [8, 16, 32]}},
            "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-4, 1e-1]}},
            "batch_size": 16,
        },
        "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
        "virtual_epoch": {"steps": 60},
        "checkpoint": {"keep_trials": 9},
    }


def killed_before_the_first_report(process: Process) -> None:
    lines = wait_for_line(process, "trial 0 started")
    os.killpg(process.pid, signal.SIGKILL)
    output = "".join(lines) + process.communicate(timeout=60)[0]
    assert process.returncode == -signal.SIGKILL
    assert "virtual epoch 1/" not in output


def a_second_search_is_refused(command: tuple[str, ...], owner: int) -> None:
    refused = run(*command)
    assert refused.returncode == 1
    assert f"belongs to a running search: process {owner} on " in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def ended(process: Process, code: int) -> str:
    """The rest of the output of a program that ends by itself with this code."""
    output = process.communicate(timeout=120)[0]
    assert process.returncode == code, output
    return output


def depths(folder: Path) -> list[int]:
    return [record.depth for record in read_records(folder / JOURNAL)]


def everything_reported_is_saved(folder: Path) -> None:
    for record in read_records(folder / JOURNAL):
        if record.outcome is None and record.values:
            newest = list_checkpoints(folder / "trials" / f"{record.number:04d}")[-1]
            assert newest == record.depth, record.number


def printed_command(output: str) -> list[str]:
    """What the last screen says to type next."""
    (line,) = (line for line in output.splitlines() if "tune-search resume" in line)
    return shlex.split(line)[1:]
