"""The suite that every executor passes, for Ray; and what the local one gives, Ray gives bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from executor_suite import ExecutorSuite, Run, halving, trained
from simulated_search import outcomes

from trainables.checkpoint import checkpoint_folder, list_checkpoints

pytestmark = pytest.mark.usefixtures("ray_session")


class TestRay(ExecutorSuite):
    @pytest.fixture
    def run(self) -> Run:
        return trained()


def test_ray_and_this_process_give_the_same_trials_and_weights(tmp_path: Path) -> None:
    here = trained(local=True)(tmp_path / "here", halving())
    there = trained()(tmp_path / "there", halving())
    assert outcomes(here) == outcomes(there)
    assert weights(tmp_path / "here") == weights(tmp_path / "there")


def weights(folder: Path) -> list[bytes]:
    trials = sorted((folder / "digits" / "trials").iterdir())
    newest = (
        checkpoint_folder(trial, list_checkpoints(trial)[-1]) for trial in trials if list_checkpoints(trial)
    )
    return [(checkpoint / "model.safetensors").read_bytes() for checkpoint in newest]
