"""The suite that every executor passes, for those without Ray; test_executor_ray.py has it for Ray's."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from executor_suite import ExecutorSuite, Run, simulated, trained

from search.errors import ConfigError
from search.run.executors.choose import executor_for
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor


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
