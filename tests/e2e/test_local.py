"""`tune-search CONFIG --local`: a search in one process, which a debugger can stop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE
from programs import HELPERS, write_config

TASK = """
from tiny_tasks import DigitsTask

class DebuggedTask(DigitsTask):
    stopped = False

    def build_model(self):
        if not DebuggedTask.stopped:
            DebuggedTask.stopped = True
            breakpoint()
        return super().build_model()
"""
MAIN = (
    "import sys\nfrom search.cli.main import main\ntry: main()\nfinally: print('RAY', 'ray' in sys.modules)"
)


def debugged(folder: Path, typed: str) -> subprocess.CompletedProcess[str]:
    """A local search that stops at a breakpoint, where a person types this."""
    (folder / "debugged_task.py").write_text(TASK)
    resources = {"cpus_per_trial": 1, "concurrent_trials": 1}
    budget = {"trials": 2, "max_virtual_epochs": 2}
    sections = {"resources": resources, "budget": budget, "scheduler": {"name": "none"}}
    config = write_config(folder, task="debugged_task:DebuggedTask", **sections)
    # A Ray in the process of the tests has pointed breakpoint() to its own debugger.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONBREAKPOINT"}
    return subprocess.run(
        [sys.executable, "-c", MAIN, str(config), "--local", "--results", str(folder / "results")],
        cwd=folder,
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=env,
    )


def test_a_breakpoint_in_a_task_stops_there_and_the_search_goes_on(tmp_path: Path) -> None:
    done = debugged(tmp_path, "p self.options.batch_size\ncontinue\n")
    assert done.returncode == 0, done.stderr
    assert "(Pdb) 16\n" in done.stdout
    assert "trial 1 completed: full length" in done.stdout
    assert "RAY False" in done.stdout
    assert not list((tmp_path / "results").rglob(".ray"))


def test_leaving_the_debugger_leaves_the_search_which_goes_on_when_started_again(tmp_path: Path) -> None:
    done = debugged(tmp_path, "quit\n")
    assert done.returncode == 130, done.stderr
    assert not list((tmp_path / "results").rglob("error.txt"))
    done = debugged(tmp_path, "continue\n")
    assert done.returncode == 0, done.stderr


def test_local_and_a_cluster_exclude_each_other(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, str(write_config(tmp_path)), "--local", "--address", "auto"],
        cwd=HELPERS,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "give one of them" in done.stderr
