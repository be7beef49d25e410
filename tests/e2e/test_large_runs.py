"""A run of a thousand trials is gone on with at once. Slow: the run itself takes a while to make."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE
from programs import no_process_left, wait_for_line, write_config
from simulated_search import FLAT_SPACE, Simulation, config_of

from search.run.before.changes import record_config
from search.run.disk.folder import RunFolder

NUM_TRIALS = 1000
LIMIT_SECONDS = 5.0
"""From the command to the first trial, besides what a new run takes too: imports, data, Ray's start."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_of_1000_finished_trials_goes_on_within_seconds(
    tmp_path: Path, program: Callable[..., Any]
) -> None:
    budget = {"trials": NUM_TRIALS, "max_virtual_epochs": 9}
    more = budget | {"trials": NUM_TRIALS + 1}
    folder = RunFolder(tmp_path / "digits")
    folder.create()
    # Drawn at random, so that it is made in seconds; whoever goes on learns from all of them.
    made = config_of(FLAT_SPACE, sampler={"name": "random"}, budget=budget)
    record_config(made, folder, growing=False)
    records = Simulation(folder.path, made, workers=4).run().records
    assert [record.outcome is not None for record in records] == [True] * NUM_TRIALS

    file = write_config(tmp_path, trial=FLAT_SPACE, sampler={"name": "tpe"}, budget=more)
    first, _ = seconds_to_first_trial(program(str(file), "--results", str(tmp_path / "new")))
    num_reports = sum(record.depth for record in records)
    again, number = seconds_to_first_trial(program("resume", str(folder.path), "--config", str(file)))
    print(f"\n{num_reports} reports; first trial after {again:.1f} s, of a new run after {first:.1f} s")
    assert number == NUM_TRIALS
    assert again - first < LIMIT_SECONDS
    no_process_left(tmp_path)


def seconds_to_first_trial(process: Any) -> tuple[float, int]:
    """Seconds from the command to the line that says that a new trial has started, and its number."""
    began = time.monotonic()
    line = wait_for_line(process, "started")[-1]
    seconds = time.monotonic() - began
    process.terminate()
    process.communicate(timeout=PATIENCE)
    return seconds, int(line.split()[2])
