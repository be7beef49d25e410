"""The suite that every executor passes, for Ray; and what the local one gives, Ray gives bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
from executor_suite import ExecutorSuite, Run, halving, trained
from simulated_search import outcomes

from search.errors import ConfigError
from search.run.executors.choose import executor_for
from trainables.checkpoints.checkpoint import checkpoint_folder, list_checkpoints

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


def test_a_cluster_that_this_process_has_joined_needs_no_address_for_its_options() -> None:
    executor_for(None, local=False, skip_bad_nodes=True)
    with pytest.raises(ConfigError, match="skip_bad_nodes: leaves out hosts of a Ray cluster, and none"):
        executor_for(None, local=True, skip_bad_nodes=True)


def weights(folder: Path) -> list[bytes]:
    trials = sorted((folder / "digits" / "trials").iterdir())
    newest = (
        checkpoint_folder(trial, list_checkpoints(trial)[-1]) for trial in trials if list_checkpoints(trial)
    )
    return [(checkpoint / "model.safetensors").read_bytes() for checkpoint in newest]
