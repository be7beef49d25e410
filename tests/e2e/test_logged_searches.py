"""Searches with `log:` and `notify:`: what is wrong there does not touch them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from answering_server import answering
from faulty_runs import Watching
from in_process import resume_locally, search_locally
from patience import PATIENCE
from programs import HELPERS, PROGRAM, run, start, wait_for_line, write_config
from tiny_tasks import search_config

from search.run import loggers
from search.run.disk.folder import RunFolder
from search.run.events import Event
from search.run.loggers import end_loggers
from search.run.outcome.summary import Summary

pytestmark = pytest.mark.usefixtures("no_fsync")
SMALL: dict[str, Any] = {"budget": {"trials": 3, "max_virtual_epochs": 3}}


@contextmanager
def killed_at_end(run: Path) -> Iterator[None]:
    """Kill the loggers of a search, which would try for minutes."""
    ours = list(loggers._RUNNING[run])
    yield
    for each in ours:
        os.kill(each.process.pid, signal.SIGKILL)
        each.process.wait(PATIENCE)


def timed(results: Path, **sections: Any) -> tuple[Summary, float]:
    began = time.monotonic()
    return search_locally(search_config(**SMALL, **sections), results=results), time.monotonic() - began


@pytest.mark.parametrize("status", [None, 500])
def test_a_server_that_hangs_or_fails_does_not_touch_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    monkeypatch.setattr(loggers, "WAIT_SECONDS", 0.1)
    alone, seconds = timed(tmp_path / "alone")
    with answering(status) as server:
        logger = {"to": "mlflow", "tracking_uri": f"http://127.0.0.1:{server.port}"}
        logged, with_logger = timed(tmp_path / "logged", log=[logger])
        assert with_logger < 2 * seconds + 5  # the client alone waits for 20 s
        assert logged.counts == alone.counts
        assert logged.best is not None
        assert alone.best is not None
        assert logged.best.value == alone.best.value
        assert server.asked.wait(PATIENCE)  # the logger waits for an answer now
        with killed_at_end(tmp_path / "logged/digits"):
            (line,) = end_loggers(RunFolder(tmp_path / "logged/digits"))
        assert f"`tune-search log {tmp_path}/logged/digits --to mlflow` goes on" in line


def test_a_logger_that_was_killed_is_told_with_the_command_that_writes_the_rest(tmp_path: Path) -> None:
    with answering(500) as server:
        logger = {"to": "mlflow", "tracking_uri": f"http://127.0.0.1:{server.port}"}
        timed(tmp_path, log=[logger])
        with killed_at_end(tmp_path / "digits"):
            pass
        (line,) = end_loggers(RunFolder(tmp_path / "digits"))
    assert line.startswith("mlflow: not all is written, see ")
    assert line.endswith(f"`tune-search log {tmp_path}/digits --to mlflow` writes the rest")


def test_a_logger_that_is_killed_while_the_search_runs_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "_LOOK_SECONDS", 0.01)

    def kill_first(event: Event) -> None:
        (logging,) = loggers._RUNNING[tmp_path / "digits"]
        if logging.num_starts == 1:
            os.kill(logging.process.pid, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
            while logging.num_starts == 1:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    with answering(200) as people:
        config = search_config(**SMALL, notify=[f"json://127.0.0.1:{people.port}"])
        search_locally(config, results=tmp_path, reporter=Watching(kill_first))
        (logging,) = loggers._RUNNING[tmp_path / "digits"]
        end_loggers(RunFolder(tmp_path / "digits"), wait=False)
        assert logging.process.wait(PATIENCE) == 0
        assert logging.num_starts == 2
    assert "digits: complete" in people.titles


def test_the_end_is_told_and_no_file_has_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200) as people:
        monkeypatch.setenv("PEOPLE", f"json://127.0.0.1:{people.port}/hunter2")
        file = write_config(tmp_path, **SMALL, notify=["${env:PEOPLE}"])
        done = run(str(file), "--local", "--results", str(tmp_path))
        assert done.returncode == 0, done.stdout + done.stderr
        deadline = time.monotonic() + PATIENCE
        while "digits: complete" not in people.titles:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    files = [each for each in (tmp_path / "digits").rglob("*") if each.is_file()]
    assert files
    assert not [each for each in files if b"hunter2" in each.read_bytes()]
    assert "hunter2" not in done.stdout + done.stderr


def test_a_search_that_is_killed_is_told_as_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(200) as people:
        address = f"json://127.0.0.1:{people.port}"
        file = write_config(
            tmp_path,
            budget={"trials": 1000, "max_virtual_epochs": 9},
            notify={"to": [address], "on": ["failure"]},
        )
        search = start(tmp_path, [*PROGRAM, str(file), "--local", "--results", str(tmp_path)], cwd=HELPERS)
        wait_for_line(search, "virtual epoch 1/")
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "digits/loggers/notify.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(search.pid, signal.SIGKILL)
        search.wait(PATIENCE)
        while not people.received:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert people.titles == ["digits: interrupted"]
    assert "its process was killed" in people.received[0]["message"]


def test_loggers_may_change_when_a_search_goes_on(tmp_path: Path) -> None:
    with answering(200) as people:
        timed(tmp_path, notify=["json://127.0.0.1:1"])
        with killed_at_end(tmp_path / "digits"):
            end_loggers(RunFolder(tmp_path / "digits"), wait=False)
        resumed = resume_locally(
            tmp_path / "digits",
            overrides=["budget.trials=4", f"notify=['json://127.0.0.1:{people.port}']"],
        )
        assert resumed.status == "complete"
        end_loggers(RunFolder(tmp_path / "digits"))
