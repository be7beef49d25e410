"""`list` and `show` of a search that runs, and of one that was killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faulty_runs import held, sections_with, wait_until_one_is_held
from programs import Process, run, write_config


def listed(results: Path) -> dict[str, Any]:
    done = run("list", str(results), "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    return found


def test_a_search_is_running_until_it_is_killed_and_does_not_notice_who_looks(
    tmp_path: Path, program: Callable[..., Process]
) -> None:
    hold, results = tmp_path / "hold", tmp_path / "my results"
    config = write_config(tmp_path, **sections_with(hold))
    with held(hold):
        search = program("search", str(config), "--results", str(results), "--local", "--plain")
        wait_until_one_is_held(hold)
        journal = (results / "digits/study.journal").read_bytes()
        found = listed(results)
        assert (found["state"], found["owner"]["pid"]) == ("running", search.pid)
        assert found["trials_begun"] == 1
        shown = run("show", str(results / "digits"))
        assert "digits: running on " in shown.stdout
        assert "running" in shown.stdout.partition("\ntrial ")[2]
        assert search.poll() is None
        assert (results / "digits/study.journal").read_bytes() == journal
        os.kill(search.pid, signal.SIGKILL)
        search.wait()
        assert listed(results)["state"] == "interrupted"
        trial = run("show", str(results / "digits"), "--trial", "0", "--json")
        assert json.loads(trial.stdout)["state"] == "unfinished"
