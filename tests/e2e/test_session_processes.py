"""Trials in a process: interrupted and resumed they are, bit for bit, what they would have been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_trials
import torch
from small_trials import (
    assert_identical,
    everything,
    run,
    segmentation_plan,
    timeless,
)

from trainables.checkpoints.checkpoint import read_checkpoint
from trainables.process.process_state import clean_process


@pytest.fixture(autouse=True)
def small_machine():
    torch.set_num_threads(1)
    yield
    clean_process()
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The whole trial at one go, and its folder."""
    clean_process()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole") / "0007"
    return everything(run(segmentation_plan(folder))), folder


def in_another_process(plan):
    """Run a plan to its end in a new process."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(small_trials.__file__).parent)])
    subprocess.run(
        [sys.executable, small_trials.__file__, json.dumps(plan.as_dict())],
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_trial_resumed_in_a_new_process_is_the_uninterrupted_one(tmp_path, uninterrupted):
    run(segmentation_plan(tmp_path), 1)
    in_another_process(segmentation_plan(tmp_path, reported=1))
    expected, folder = uninterrupted
    found, reference = read_checkpoint(tmp_path, 4), read_checkpoint(folder, 4)
    assert timeless(found.info["history"]) == timeless(reference.info["history"]) == expected["history"]
    assert_identical(found.weights(), reference.weights())
    states = [checkpoint.state() for checkpoint in (found, reference)]
    for state in states:
        del state["counters"]["seconds"]
    assert_identical(*states)
