"""TensorBoard events as TensorBoard reads them, in the process and through its server."""

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard_server import SERVER_SECONDS, ask, tensorboard

from trainables.tensorboard import Param, TensorBoardWriter


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_jobs_within_one_second_are_read_in_their_order(tmp_path: Path) -> None:
    """Each job of a trial may run in another process, whose number says nothing about the order."""
    code = (
        "import sys; from pathlib import Path; from trainables.tensorboard import TensorBoardWriter\n"
        "start = int(sys.argv[2]); board = TensorBoardWriter(Path(sys.argv[1]), start_step=start)\n"
        "[board.scalars({'miou': step / 64}, step) for step in range(start, start + 3)]"
    )
    jobs = [4, 7]
    processes = [[sys.executable, "-c", code, str(tmp_path), str(start)] for start in jobs]
    board = TensorBoardWriter(tmp_path, start_step=1)
    for step in (1, 2, 3):
        board.scalars({"miou": step / 64}, step)
    for command in processes:
        subprocess.run(command, check=True)
    again = TensorBoardWriter(tmp_path, start_step=10)
    again.scalars({"miou": 10 / 64}, 10)
    assert curve(tmp_path, "miou") == [(step, step / 64) for step in range(1, 11)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """TensorBoard over three trials that have not ended; two are alike, one was interrupted and resumed."""
    root = tmp_path_factory.mktemp("run")
    trials: list[dict[str, Param]] = [
        {"optimizer.name": "adamw", "lr": 0.5, "nesterov": None, "momentum": None},
        {"optimizer.name": "sgd", "lr": 0.25, "nesterov": True, "momentum": 0.75},
        {"optimizer.name": "adamw", "lr": 0.5, "nesterov": None, "momentum": None},
    ]
    for number, params in enumerate(trials):
        board = TensorBoardWriter(root / "trials" / f"{number:04d}", start_step=1)
        board.hparams(params, "best/miou")
        for step in (10, 20, 30):
            board.scalars({"loss": 1.0, "best/miou": number + step / 64}, step)
    board = TensorBoardWriter(root / "trials" / "0001", start_step=21)
    board.scalars({"loss": math.nan, "best/miou": 1.875}, 30)

    with tensorboard(root) as address:
        yield address


def scalar_tags(server: str) -> dict[str, Any]:
    """Tags by run, once the server has read all trials."""
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline:
        tags = ask(f"{server}/data/plugin/scalars/tags")
        if len(tags) == 3:
            return tags
    raise AssertionError(f"no three runs after {SERVER_SECONDS} s: {tags}")


def test_the_server_shows_each_trial_as_a_run(server: str) -> None:
    tags = scalar_tags(server)
    assert {run: set(tags[run]) for run in tags} == {
        "trials/0000": {"loss", "best/miou"},
        "trials/0001": {"loss", "best/miou"},
        "trials/0002": {"loss", "best/miou"},
    }


def test_the_server_shows_a_step_computed_again_once(server: str) -> None:
    scalar_tags(server)
    points = ask(f"{server}/data/plugin/scalars/scalars?run=trials/0001&tag=best%2Fmiou")
    assert [(step, value) for _, step, value in points] == [(10, 1.15625), (20, 1.3125), (30, 1.875)]


def test_the_hparams_tab_has_a_column_for_each_parameter_and_one_metric(server: str) -> None:
    scalar_tags(server)
    experiment = ask(f"{server}/data/plugin/hparams/experiment", {"experimentName": ""})
    assert {info["name"] for info in experiment["hparamInfos"]} == {
        "optimizer.name",
        "lr",
        "nesterov",
        "momentum",
    }
    assert [info["name"]["tag"] for info in experiment["metricInfos"]] == ["best/miou"]


def test_the_hparams_tab_shows_running_trials_with_their_last_best_value(server: str) -> None:
    scalar_tags(server)
    question = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 100,
    }
    groups = ask(f"{server}/data/plugin/hparams/session_groups", question)["sessionGroups"]
    shown = {group["name"]: group for group in groups}
    assert {name: group["hparams"] for name, group in shown.items()} == {
        "trials/0000": {"optimizer.name": "adamw", "lr": 0.5},
        "trials/0001": {"optimizer.name": "sgd", "lr": 0.25, "nesterov": True, "momentum": 0.75},
        "trials/0002": {"optimizer.name": "adamw", "lr": 0.5},
    }
    values = {
        name: [
            (metric["name"]["tag"], metric["value"], metric["trainingStep"])
            for metric in group["metricValues"]
        ]
        for name, group in shown.items()
    }
    assert values == {
        "trials/0000": [("best/miou", 0.46875, 30)],
        "trials/0001": [("best/miou", 1.875, 30)],
        "trials/0002": [("best/miou", 2.46875, 30)],
    }
