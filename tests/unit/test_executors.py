"""The suite that every executor passes, for those without Ray; test_executor_ray.py has it for Ray's."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_suite import ExecutorSuite, Run, simulated, trained
from tiny_tasks import search_config

from search.errors import ConfigError, CutShortError, SearchError
from search.run.disk.folder import RunFolder
from search.run.executors.choose import executor_for
from search.run.executors.local import LocalExecutor
from search.run.executors.ray import RayExecutor
from search.run.search import search as run_search
from search.study.journal import OvertakenError


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


class DyingExecutor(LocalExecutor):
    """Raises an error, while what it runs on is dead; counts who asks for that."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.asked = error, 0

    def run(self, coordinator: Any, jobs: Any) -> None:
        raise self.error

    def death(self) -> str:
        self.asked += 1
        return "the head is dead"


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (RuntimeError("no answer"), CutShortError, r"the head is dead: .* continue with: "),
        (OvertakenError("another search goes on"), OvertakenError, r"^another search goes on$"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            SearchError,
            r"No space left on device; free some",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), SearchError, r"Disk quota exceeded; free some"),
    ],
)
def test_of_a_dead_cluster_is_told_unless_the_error_has_a_way_out_of_its_own(
    tmp_path: Path, error: Exception, raised: type[Exception], text: str
) -> None:
    executor = DyingExecutor(error)
    with pytest.raises(raised, match=text):
        run_search(search_config(), results=tmp_path, executor=executor)
    assert executor.asked == (raised is CutShortError)


def test_whoever_interrupts_for_the_second_time_does_not_wait_for_a_dead_cluster(tmp_path: Path) -> None:
    executor = DyingExecutor(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run_search(search_config(), results=tmp_path, executor=executor)
    assert not executor.asked
