"""What all tests share: one Ray for the whole session, finished runs to look at, a way to run the program."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trainables.process import environment

ROOT = Path(__file__).parents[1]
HELPERS = ROOT / "tests" / "helpers"
SESSIONS: dict[Path, list[int]] = defaultdict(list)
"""By the folder of a test, ids of the sessions (in the kernel's sense) of the programs it has started."""

# Trials run in processes of their own, and those must find the tasks of the tests too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HELPERS), os.environ.get("PYTHONPATH", "")]))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"


LONGEST_FIRST = (
    "test_chaos",
    "test_faults_",
    "test_staged_runs",
    "test_growing",
    "test_largest_batch",
    "test_search",
)
"""Files whose tests start programs: begun last, one of them would keep a single process busy at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.name.startswith(LONGEST_FIRST))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process conceals for ever what it has once replaced; a test must not see another one's values."""
    monkeypatch.setattr(environment, "_replaced", {})


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
def finished_run(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of a search over DigitsTask that went to its end; look at it, change nothing."""
    from tiny_tasks import search_config

    import search

    return search.search(search_config(), results=tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def discs_run(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The summary of a search on a folder of images and masks; look at it, change nothing.

    Bright discs on dark ground, written as files in the layout that people have.
    """
    import search

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
    return search.search(config, results=tmp_path_factory.mktemp("results"))


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts `tune-search …` in a process group of its own, its output in a pipe.

    `no_process_left(tmp_path)` finds all that came of it; `env` adds to the environment.
    """

    def start(
        *args: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", "from search.cli import main; main()", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=cwd or HELPERS,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        SESSIONS[tmp_path].append(process.pid)
        return process

    return start


def wait_for_line(process: subprocess.Popen[str], text: str, limit: float = 90.0) -> list[str]:
    """Read the output up to the first line that contains `text`; fails when it ends or the limit epochs."""
    assert process.stdout is not None
    lines: list[str] = []
    deadline = time.monotonic() + limit
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
        if time.monotonic() > deadline:
            break
    raise AssertionError(f"no line with {text!r} in\n{''.join(lines)}")
