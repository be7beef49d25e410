"""What all tests share: one Ray for the whole session, finished runs to look at, a way to run the program."""

from __future__ import annotations

import gc
import multiprocessing.process
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import programs
import pytest
import torch
from core import CORE
from PIL import Image
from programs import HELPERS, PROGRAM, Process

from trainables.process.process_state import clean_process

TESTS = Path(__file__).parent

# Trials run in processes of their own, and those must find the tasks of the tests too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HELPERS), os.environ.get("PYTHONPATH", "")]))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
# Ray's default is 15: a trial would wait for minutes while another test computes beside it.
os.environ.setdefault("RAY_worker_niceness", "0")


LONGEST_FIRST = (
    "test_chaos",
    "test_pages",
    "test_faults_",
    "test_staged_runs",
    "test_growing",
    "test_largest_batch",
    "test_search",
)
"""Files whose tests start programs: begun last, one of them would keep a single process busy at the end."""


def pytest_configure() -> None:
    """Ctrl-C is heard in the tests and in all that they start, also where it was to be ignored.

    A shell without job control starts what runs in the background so (`make test &`, some CI systems), and
    every process hands that down.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.name.startswith(LONGEST_FIRST))
    mark_core(items)


def mark_core(items: list[pytest.Item]) -> None:
    """Mark what `make test` runs: all of tests/unit but what takes minutes, and the tests that CORE lists."""
    listed = {name for names in CORE.values() for name in names}
    names = {item: (item.path.relative_to(TESTS).as_posix(), item.name.partition("[")[0]) for item in items}
    for item, (file, test) in names.items():
        chosen = file.startswith("unit/") or file in listed or f"{file}::{test}" in listed
        if chosen and not any(item.iter_markers("slow")) and not any(item.iter_markers("chaos")):
            item.add_marker("core")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Refuse what starts a process in tests/unit, where a test takes milliseconds; Ray starts by Popen."""
    if not item.path.is_relative_to(TESTS / "unit"):
        return (yield)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(subprocess.Popen, "__init__", refuse_process)
        patches.setattr(multiprocessing.process.BaseProcess, "start", refuse_process)
        patches.setattr(os, "fork", refuse_process)
        return (yield)


def refuse_process(*args: Any, **options: Any) -> None:
    raise AssertionError("a test in tests/unit starts no process; one that must belongs in tests/e2e")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """Processes that read data end with what started them; another test would find them.

    An error that a test has caught holds what raised it until garbage is collected.
    """
    before = set(multiprocessing.active_children())
    yield
    if set(multiprocessing.active_children()) - before:
        gc.collect()
        left = set(multiprocessing.active_children()) - before
        assert not left, f"the test leaves processes behind: {left}"


@pytest.fixture
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """The death of a process loses nothing that was written; only a power cut would, and none comes here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def small_machine() -> Iterator[None]:
    """One thread, and a process as a trial leaves it when it has ended."""
    torch.set_num_threads(1)
    yield
    clean_process()
    torch.set_num_threads(1)


@pytest.fixture
def task_in_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current folder is `tmp_path`, and the module `my_task` of own_task.py is in it."""
    from own_task import TASK

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("my_task.py").write_text(TASK)
    yield
    for name in ("my_task", "broken_task"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with two CPUs and one GPU that is only declared."""
    import ray

    ray.init(
        "local", num_cpus=2, num_gpus=1, include_dashboard=False, configure_logging=False, log_to_driver=False
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of a search over DigitsTask that went to its end; look at it, change nothing."""
    from in_process import search_locally
    from tiny_tasks import search_config

    return search_locally(search_config(), results=tmp_path_factory.mktemp("results"))


@pytest.fixture
def run(finished_run: Any, tmp_path: Path) -> Path:
    """A copy of a finished run, to write into; five of its trials have checkpoints."""
    return Path(shutil.copytree(finished_run.folder, tmp_path / "run"))


@pytest.fixture(scope="session")
def discs_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of a search on a folder of images and masks; look at it, change nothing.

    Bright discs on dark ground, written as files in the layout that people have.
    """
    from in_process import search_locally

    root = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:32, :32]
    for part, number in (("train", 24), ("val", 8)):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for index in range(number):
            (cy, cx), radius = rng.integers(8, 24, 2), rng.integers(4, 8)
            mask = ((yy - cy) ** 2 + (xx - cx) ** 2 <= radius**2).astype(np.uint8)
            image = (mask[..., None] * 150 + rng.integers(0, 80, (32, 32, 3))).astype(np.uint8)
            Image.fromarray(image).save(root / part / "images" / f"{index:03d}.png")
            Image.fromarray(mask).save(root / part / "masks" / f"{index:03d}.png")
    config = {
        "name": "discs",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "trial": {
            "data": {"source": "folder", "root": str(root)},
            "model": {"name": "unet", "width": 8, "depth": 1},
            "optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 1e-1]}},
            "augment": {"horizontal_flip": 0.5},
            "batch_size": 8,
        },
        "virtual_epoch": {"epochs": 1},
        "budget": {"trials": 4, "max_virtual_epochs": 6},
    }
    return search_locally(config, results=tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of the search of one_by_one.py when nothing happens; look at it, change nothing."""
    from in_process import search_locally
    from one_by_one import ONE_BY_ONE
    from tiny_tasks import search_config

    return search_locally(search_config(**ONE_BY_ONE), results=tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="session")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same search, interrupted on the way; look at it, change nothing."""
    from faulty_runs import interrupted_at
    from in_process import search_locally
    from one_by_one import ONE_BY_ONE
    from tiny_tasks import search_config

    results = tmp_path_factory.mktemp("interrupted")
    summary = search_locally(search_config(**ONE_BY_ONE), results=results, reporter=interrupted_at(3, 1))
    assert summary.status == "interrupted"
    return Path(summary.folder)


@pytest.fixture
def interrupted(broken_off: Path, tmp_path: Path) -> Path:
    """A copy of it, to do things to and to go on with."""
    return Path(shutil.copytree(broken_off, tmp_path / "digits"))


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Process]:
    """Starts `tune-search …` in a process group of its own, its output in a pipe.

    `no_process_left(tmp_path)` finds all that came of it; `env` adds to the environment.
    """

    def start(*args: str, cwd: Path = HELPERS, env: Mapping[str, str] | None = None) -> Process:
        return programs.start(tmp_path, [*PROGRAM, *args], cwd=cwd, env=env)

    return start
