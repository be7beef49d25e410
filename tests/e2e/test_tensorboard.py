"""TensorBoard itself on the folder of a search: curves, hyperparameters and pictures of every trial."""

from __future__ import annotations

import io
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from recorder import optuna_study
from tensorboard_server import SERVER_SECONDS, ask, tensorboard

from search.run.outcome.summary import Summary


@pytest.fixture(scope="module")
def server(discs_run: Summary) -> Iterator[str]:
    with tensorboard(Path(discs_run.folder)) as address:
        deadline = time.monotonic() + SERVER_SECONDS
        while _num_points(address) < discs_run.virtual_epochs:
            assert time.monotonic() < deadline
        yield address


def _num_points(server: str) -> int:
    """Virtual epochs that the server has read so far."""
    runs = ask(f"{server}/data/plugin/scalars/tags")
    return sum(len(points(server, run, "miou")) for run in runs if "miou" in runs[run])


def points(server: str, run: str, tag: str) -> list[tuple[int, float]]:
    query = urllib.parse.urlencode({"run": run, "tag": tag})
    return [(step, value) for _, step, value in ask(f"{server}/data/plugin/scalars/scalars?{query}")]


def test_every_virtual_epoch_is_one_point_on_an_axis_of_steps(server: str, discs_run: Summary) -> None:
    for trial in optuna_study(discs_run.folder).trials:
        curve = points(server, f"trials/{trial.number:04d}", "miou")
        # 24 images in batches of 8 are three steps an epoch.
        assert [step for step, _ in curve] == [3 * number for number in trial.intermediate_values]
        assert [value for _, value in curve] == pytest.approx(list(trial.intermediate_values.values()))


def test_losses_metrics_rate_and_speed_are_curves(server: str) -> None:
    tags = set(ask(f"{server}/data/plugin/scalars/tags")["trials/0000"])
    wanted = {"train_loss", "valid_loss", "miou", "pixel_accuracy", "lr", "samples_per_second", "epoch"}
    assert wanted <= tags


def test_hparams_has_all_trials_with_their_best_value(server: str, discs_run: Summary) -> None:
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    question = {"experimentName": "", "allowedStatuses": statuses, "colParams": [], "startIndex": 0}
    groups = ask(f"{server}/data/plugin/hparams/session_groups", question | {"sliceSize": 100})
    shown = {
        group["name"]: (group["hparams"]["optimizer.lr"], group["metricValues"][0]["value"])
        for group in groups["sessionGroups"]
    }
    trials = optuna_study(discs_run.folder).trials
    assert shown == {
        f"trials/{t.number:04d}": (
            pytest.approx(t.params["optimizer.lr"]),
            pytest.approx(max(t.intermediate_values.values())),
        )
        for t in trials
    }


def test_predicted_masks_are_pictures(server: str) -> None:
    query = urllib.parse.urlencode({"run": "trials/0000", "tag": "validation", "sample": 0})
    (first, *_) = ask(f"{server}/data/plugin/images/images?{query}")
    with urllib.request.urlopen(f"{server}/data/plugin/images/individualImage?{first['query']}") as answer:
        picture = answer.read()
    width, height = Image.open(io.BytesIO(picture)).size
    # Image, truth and prediction side by side, four samples one below the other, 32 x 32 pixels each.
    assert width >= 3 * 32
    assert height >= 4 * 32
