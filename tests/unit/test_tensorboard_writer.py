"""TensorBoard events as TensorBoard reads them, in the process and through its server."""

import io
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard_server import SERVER_SECONDS, ask, tensorboard

from trainables.tensorboard import Param, TensorBoardWriter


def curve(folder: Path, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_scalars_are_readable_while_the_file_is_open(tmp_path: Path) -> None:
    board = TensorBoardWriter(tmp_path, start_step=1)
    board.scalars({"loss": 0.5, "best/miou": 0.25}, 10)
    board.scalars({"loss": 0.125}, 20)
    assert curve(tmp_path, "loss") == [(10, 0.5), (20, 0.125)]
    assert curve(tmp_path, "best/miou") == [(10, 0.25)]
    board.close()


def test_values_that_are_not_finite_are_written_as_they_are(tmp_path: Path) -> None:
    board = TensorBoardWriter(tmp_path, start_step=1)
    for step, value in enumerate([math.nan, math.inf, -math.inf], start=1):
        board.scalars({"loss": value}, step)
    board.close()
    values = [value for _, value in curve(tmp_path, "loss")]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_what_is_computed_again_after_a_crash_stands_once(tmp_path: Path) -> None:
    crashed = TensorBoardWriter(tmp_path, start_step=1)
    for step in (10, 20, 30):
        crashed.scalars({"loss": float(step)}, step)
    board = TensorBoardWriter(tmp_path, start_step=11)
    board.scalars({"loss": -1.0}, 20)
    board.close()
    assert curve(tmp_path, "loss") == [(10, 10.0), (20, -1.0)]


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


def test_images_come_back_pixel_by_pixel(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    board = TensorBoardWriter(tmp_path, start_step=1)
    board.images({"mask": image}, 10)
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    (event,) = events.Images("mask")
    assert (event.step, event.height, event.width) == (10, 5, 7)
    assert np.array_equal(decoded(event.encoded_image_string), image)


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_each_trial_names_the_parameters_that_it_does_not_have(tmp_path: Path) -> None:
    """TensorBoard takes the columns from an arbitrary trial, so each must name them all."""
    board = TensorBoardWriter(tmp_path, start_step=1)
    board.hparams({"lr": 0.5, "momentum": None, "name": "sgd", "nesterov": True}, "best/miou")
    board.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    content = events.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    experiment = metadata.parse_experiment_plugin_data(content)
    assert [info.name for info in experiment.hparam_infos] == ["lr", "momentum", "name", "nesterov"]
    assert [metric.name.tag for metric in experiment.metric_infos] == ["best/miou"]
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    assert set(metadata.parse_session_start_info_plugin_data(content).hparams) == {"lr", "name", "nesterov"}


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
