"""`check --data` on other tasks than segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from broken_folder import messages, named
from PIL import Image
from tiny_tasks import DigitsTask, search_config
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import search
from search.commands.check_data import DataCheck
from search.screen.texts.data import data_check_text
from trainables.options import TrialOptions


def check(task: str, data: dict[str, Any], model: str) -> DataCheck:
    metric = {"classification": "accuracy", "segmentation": "miou", "regression": "rmse"}[task]
    return search.check_data(
        {
            "name": task,
            "task": task,
            "objective": {"metric": metric, "mode": "min" if task == "regression" else "max"},
            "trial": {"data": data, "model": {"name": model}},
            "virtual_epoch": {"epochs": 1},
            "budget": {"trials": 1, "max_virtual_epochs": 1},
        }
    )


# A folder of images for each class


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 3)):
        for name in ("cat", "dog"):
            folder = tmp_path / "animals" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (8, 10, 3), np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "animals"


def check_images(root: Path, **data: Any) -> DataCheck:
    return check("classification", {"source": "images", "root": str(root), **data}, "cnn")


def test_nothing_is_wrong_with_intact_images_and_their_statistics_are_those_of_the_pixels(
    animals: Path,
) -> None:
    found = check_images(animals)
    assert found.findings == []
    assert [(row.name, row.counts) for row in found.classes] == [
        ("cat", {"train": 6, "valid": 3}),
        ("dog", {"train": 6, "valid": 3}),
    ]
    pixels = np.concatenate([np.asarray(Image.open(file)) for file in animals.glob("train/*/*.png")]) / 255.0
    np.testing.assert_allclose(found.parts["train"].mean, pixels.reshape(-1, 3).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.parts["train"].std, pixels.reshape(-1, 3).std(0), rtol=1e-12)
    assert found.parts["valid"].sizes == {"min": (10, 8), "median": (10, 8), "max": (10, 8)}


def test_broken_duplicate_and_converted_images_are_found(animals: Path) -> None:
    train, valid = animals / "train", animals / "val"
    (train / "cat/0.png").write_bytes((train / "cat/0.png").read_bytes()[:-50])
    (train / "cat/1.png").write_bytes(b"")
    Image.open(train / "cat/2.png").save(valid / "cat/0.png", compress_level=0)
    Image.open(train / "cat/3.png").save(train / "dog/3.png", compress_level=0)
    Image.open(train / "dog/4.png").convert("RGBA").save(train / "dog/4.png")
    Image.new("RGB", (9, 9)).save(train / "dog/5.png")
    found = check_images(animals)
    assert named(found, "unreadable file") == {"train/cat/0.png"}
    assert named(found, "empty file") == {"train/cat/1.png"}
    assert named(found, "data leakage") == {"val/cat/0.png"}
    assert named(found, "in two classes") == {"train/dog/3.png"}
    assert named(found, "converted image") == {"train/dog/4.png"}
    assert named(found, "sizes differ") == {"train/dog/5.png"}
    assert {"9x9, most are 10x8", "the same decoded pixels as train/cat/3.png"} <= set(messages(found))
    assert named(found, "image of one value") == {"train/dog/5.png"}
    assert (len(found.errors), len(found.warnings)) == (5, 2)
    assert named(check_images(animals, resize=8), "sizes differ") == set()


def test_images_of_no_layout_are_one_error(tmp_path: Path) -> None:
    (finding,) = check_images(tmp_path).errors
    assert "holds no folders" in finding.message


@pytest.mark.parametrize(
    ("task", "source", "model", "num_samples"),
    [
        ("classification", "digits", "cnn", 1797),
        ("classification", "breast_cancer", "mlp", 569),
        ("regression", "diabetes", "mlp", 442),
        ("segmentation", "digits", "unet", 60),
    ],
)
def test_data_that_come_with_the_program_have_no_errors(
    task: str, source: str, model: str, num_samples: int
) -> None:
    more = {"num_train": 50, "num_valid": 10} if task == "segmentation" else {}
    found = check(task, {"source": source, **more}, model)
    assert found.errors == []
    assert sum(part.samples for part in found.parts.values()) == num_samples


# Tasks without an inspection of their own


class BrokenDigits(DigitsTask):
    """Digits of which some samples are broken; `data.training` says how they are given."""

    Options = TrialOptions

    def train_data(self) -> Any:
        x, y = self.arrays["x"][:40].copy(), self.arrays["y"][:40]
        x[5, 3:5], x[7, 0] = np.nan, np.inf
        kind = self.options.data["training"]
        if kind == "arrays":
            return x, y
        if kind == "dataset":
            return RaisingDataset(x, y)
        tensors = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
        if kind == "loader":
            return DataLoader(tensors, batch_size=7, shuffle=True)
        stream = (Stream if kind == "stream" else SizedStream)(tensors)
        return stream if kind == "bare stream" else DataLoader(stream, batch_size=10)

    def valid_data(self) -> Any:
        x, y = self.arrays["x"][38:60], self.arrays["y"][38:60]
        return x, y


class RaisingDataset(Dataset[Any]):
    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        if index == 11:
            raise KeyError("no such page")
        return torch.from_numpy(self.x[index]), int(self.y[index])


class Stream(IterableDataset[Any]):
    def __init__(self, samples: TensorDataset) -> None:
        self.samples = samples

    def __iter__(self) -> Any:
        return (self.samples[index] for index in range(len(self.samples)))


class SizedStream(Stream):
    """Says that it has three batches of ten more than it has."""

    def __len__(self) -> int:
        return len(self.samples) + 30


def check_digits(training: str) -> DataCheck:
    trial = {"data": {"training": training}, "optimizer": {"name": "adamw", "lr": 0.1}, "batch_size": 10}
    return search.check_data(search_config(task="test_data_check_tasks:BrokenDigits", trial=trial))


@pytest.mark.parametrize("training", ["arrays", "dataset", "loader"])
def test_every_sample_of_any_task_is_drawn_once_and_named(training: str) -> None:
    found = check_digits(training)
    assert named(found, "number not finite") == {"train sample 5", "train sample 7"}
    assert {"input holds 2 NaN of 64 numbers", "input holds 1 infinite of 64 numbers"} <= set(messages(found))
    assert named(found, "data leakage") == {"valid sample 0", "valid sample 1"}
    assert "the same inputs as train sample 38" in messages(found)
    assert named(found, "sample raises") == ({"train sample 11"} if training == "dataset" else set())
    counts = np.bincount(DigitsTask.load_data(TrialOptions())["y"][38:60], minlength=10)
    assert [row.counts["valid"] for row in found.classes] == counts.tolist()
    assert found.parts["train"].samples == 40


def test_a_stream_of_known_length_is_read_batch_by_batch_and_one_without_is_reported() -> None:
    found = check_digits("sized stream")
    assert named(found, "number not finite") == {"train batch 0"}
    assert named(found, "stream ends early") == {"train batch 4"}
    assert named(found, "data leakage") == {"valid sample 0", "valid sample 1"}
    assert named(check_digits("bare stream"), "number not finite") == {"train sample 5", "train sample 7"}
    found = check_digits("stream")
    assert named(found, "stream not read") == {"train data"}
    assert [
        finding.kind.severity for finding in found.findings if finding.kind.name == "stream not read"
    ] == ["warning"]


def test_data_that_cannot_be_loaded_is_one_error() -> None:
    trial = {"data": {}, "optimizer": {"name": "adamw", "lr": 0.1}}
    found = search.check_data(search_config(task="test_data_check_tasks:BrokenDigits", trial=trial))
    (finding,) = found.findings
    assert finding.message == "KeyError: 'training'"
    assert "KeyError" in data_check_text(found)
