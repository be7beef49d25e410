"""The suite that every executor passes, for those without Ray; test_executor_ray.py has it for Ray's."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_suite import ExecutorSuite, Run, simulated, trained
from tiny_tasks import search_config

from search.errors import ConfigError
from search.run.executors.choose import executor_for
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor
from search.run.folder import RunFolder
from search.run.search import search as run_search


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Where the tests run in the background, their process ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class TestSimulated(ExecutorSuite):
    checkpoints = False

    @pytest.fixture
    def run(self) -> Run:
        return simulated


class TestLocal(ExecutorSuite):
    @pytest.fixture
    def run(self) -> Run:
        return trained(local=True)


def test_the_executor_is_chosen_by_what_is_asked_for() -> None:
    assert isinstance(executor_for(None, local=True), LocalExecutor)
    assert isinstance(executor_for(None, local=False), RayExecutor)
    with pytest.raises(ConfigError, match=r"local: runs trials in this process, and address is auto"):
        executor_for("auto", local=True)


class FailingExecutor(LocalExecutor):
    """Fails; and says at its end whether the run's folder was still owned."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.owners = folder, []

    def run(self, coordinator: Any, jobs: Any) -> None:
        raise RuntimeError("no executor")

    def close(self) -> None:
        self.owners.append(self.folder.owner())


def test_an_executor_that_fails_is_closed_before_the_folder_is_free(tmp_path: Path) -> None:
    executor = FailingExecutor(RunFolder(tmp_path / "digits"))
    with pytest.raises(RuntimeError, match="no executor"):
        run_search(search_config(), results=tmp_path, executor=executor)
    assert executor.owners[0] is not None
    assert executor.folder.owner() is None
