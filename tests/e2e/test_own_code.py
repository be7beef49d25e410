"""A task in a folder of the user's own: what its module does, what lies beside it, how it ends a trial."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from programs import HELPERS, write_config

LIBRARIES = ("ray", "optuna", "torch", "tensorboard", "click", "yaml", "numpy", "types", "random", "logging")
TASK = """
import os, sys
from tiny_tasks import DigitsTask

class OwnTask(DigitsTask):
    def build_model(self):
        end = self.options.model.get("end")
        if end == "exit": sys.exit("no GPU with enough memory")
        if end == "at once": os._exit(7)
        if end == "interrupt": raise KeyboardInterrupt("mine")
        if end == "loud": print("y" * 3_000_000)
        if end == "long": raise ValueError("bad value " + "x" * 2_000_000)
        return super().build_model()
"""
ALONE = {"cpus_per_trial": 1, "concurrent_trials": 1}


def searched(
    folder: Path, *options: str, task: str = TASK, module: str = "-m search", **sections: Any
) -> subprocess.CompletedProcess[str]:
    """A search with the task in a folder of its own, in which it runs."""
    (folder / "task_of_mine.py").write_text(task)
    defaults: dict[str, Any] = {
        "resources": ALONE,
        "budget": {"trials": 1, "max_virtual_epochs": 1},
        "scheduler": {"name": "none"},
    }
    config = write_config(folder, task="task_of_mine:OwnTask", **(defaults | sections))
    paths = os.pathsep.join([str(HELPERS.parents[1]), str(HELPERS)])
    return subprocess.run(
        [sys.executable, *module.split(), str(config), "--results", str(folder / "results"), *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )


def summary(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "results").glob("*/summary.json")
    return json.loads(file.read_text())


@pytest.mark.parametrize("options", [["--local"], []], ids=["local", "Ray"])
def test_files_named_like_libraries_and_a_change_of_folder_do_not_matter(
    tmp_path: Path, options: list[str]
) -> None:
    for name in LIBRARIES:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    for name in ("search", "trainables", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").touch()
    changed = "import os\nos.makedirs('elsewhere', exist_ok=True)\nos.chdir('elsewhere')\n"
    done = searched(tmp_path, *options, task=changed + TASK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary(tmp_path)["counts"] == {"completed": 1}
    assert "the module task_of_mine changes the current folder to" in done.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_how_a_task_ends_its_trial_is_the_cause_once_and_its_output_is_cut(tmp_path: Path) -> None:
    ends = ["exit", "at once", "interrupt", "long", "loud"]
    done = searched(
        tmp_path,
        trial={
            "optimizer": {"name": "adamw", "lr": 0.01},
            "batch_size": 16,
            "data": {},
            "model": {"end": {"choice": ends}},
        },
        sampler={"name": "grid"},
        budget={"trials": 5, "max_virtual_epochs": 1},
        max_failed_trials=9,
        max_failures=1,
    )
    found = summary(tmp_path)
    assert found["counts"] == {"completed": 1, "failed": 4}, done.stdout + done.stderr
    causes = " | ".join(found["failures"].values())
    for cause in (
        "SystemExit: no GPU with enough memory (task_of_mine.py:8, in build_model)",
        "SystemExit: sys.exit(7) was called (task_of_mine.py:9, in build_model)",
        "KeyboardInterrupt: mine",
        "(2,000,010 characters, the whole is in error.txt)",
    ):
        assert cause in causes
    assert len(done.stdout) < 10_000
    (run,) = (tmp_path / "results").iterdir()
    assert (run / "search.log").stat().st_size < 2_000_000
    assert "has printed more than 1,000,000 characters" in (run / "search.log").read_text()
    assert len(list(run.glob("trials/*/error.txt"))) == 4
    journal = (run / "study.journal").read_text()
    assert journal.count('"kind":"error that comes again"') == 3  # and each is written once


def test_check_names_the_line_at_which_a_module_ends_the_program(tmp_path: Path) -> None:
    lines = ("import argparse", "p = argparse.ArgumentParser()", "p.add_argument('--data', required=True)")
    parse = "\n".join([*lines, "p.parse_args()", ""])
    done = searched(tmp_path, task=parse + TASK)
    assert done.returncode == 2
    assert (
        "the module task_of_mine cannot be imported: it ends the program when it is imported" in done.stderr
    )
    assert (
        "(task_of_mine.py:4, in <module>): task_of_mine: error: the following arguments are required"
        in done.stderr
    )


def test_a_library_hidden_by_a_file_on_the_search_path_is_named_before_ray_starts(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("print('my old experiments')")
    (tmp_path / "start.py").write_text("import search\n")
    done = searched(tmp_path, module="start.py")
    assert done.returncode == 1
    rule = f"{tmp_path}/ray.py hides the library ray, which this program needs; rename the file"
    assert done.stderr.splitlines()[-1].startswith(f"search.hidden.HiddenLibraryError: {rule}")


def test_a_thread_of_the_task_s_own_does_not_keep_the_program(tmp_path: Path) -> None:
    head = """
import atexit, threading
atexit.register(print, "the end of the task")
threading.Thread(target=threading.Event().wait, name="lasting").start()
"""
    done = searched(tmp_path, "--local", task=head + TASK)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the module task_of_mine starts the thread lasting when it is imported" in done.stderr
    assert "a thread of the task (lasting) goes on: the program ends without it" in done.stderr
    assert done.stdout.endswith("the end of the task\n")
    assert summary(tmp_path)["counts"] == {"completed": 1}
