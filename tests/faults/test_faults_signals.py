"""Faults 12 to 17: killed, interrupted, terminated and begun twice, a search ends as if nothing had been."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

from faulty_runs import held, sections_with, wait_until_one_is_held
from in_process import search_locally
from invariants import assert_nothing_lost, assert_same_search
from patience import PATIENCE
from programs import (
    WINDING_DOWN,
    Process,
    ended,
    no_process_left,
    printed_command,
    run,
    wait_for_line,
    write_config,
)
from tiny_tasks import search_config

from search.study.reading import read_records
from search.study.study import JOURNAL
from trainables.checkpoints.checkpoint import list_checkpoints


def test_killed_interrupted_and_terminated_a_search_ends_as_if_nothing_had_been(
    tmp_path: Path, program: Callable[..., Process]
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
    calm = search_locally(search_config(**sections), results=tmp_path / "calm")
    assert_same_search(Path(calm.folder), folder, calm.best.checkpoint)
    assert_nothing_lost(folder)
    no_process_left(tmp_path)


def killed_before_the_first_report(process: Process) -> None:
    lines = wait_for_line(process, "trial 0 started")
    os.killpg(process.pid, signal.SIGKILL)
    output = "".join(lines) + process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == -signal.SIGKILL
    assert "virtual epoch 1/" not in output


def a_second_search_is_refused(command: tuple[str, ...], owner: int) -> None:
    refused = run(*command)
    assert refused.returncode == 1
    assert f"belongs to a running search: process {owner} on " in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def depths(folder: Path) -> list[int]:
    return [record.depth for record in read_records(folder / JOURNAL)]


def everything_reported_is_saved(folder: Path) -> None:
    for record in read_records(folder / JOURNAL):
        if record.outcome is None and record.values:
            newest = list_checkpoints(folder / "trials" / f"{record.number:04d}")[-1]
            assert newest == record.depth, record.number
